"""From a plan to kernels in C: text alone, which knows no driver."""
