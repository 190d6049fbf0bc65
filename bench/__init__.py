"""The benchmark: Chainrule against PyTorch, JAX and scikit-learn, on one machine, in one run."""
