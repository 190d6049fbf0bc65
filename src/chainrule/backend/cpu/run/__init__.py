"""Machine code in memory: loading, buffers, threads, timing."""
