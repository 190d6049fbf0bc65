"""Plans for graphics processors: kernels as text in C, and drivers that build and run it."""
