"""Model quality: test errors of Chainrule's recipe and other learners on real tables."""
