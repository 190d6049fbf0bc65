"""Loop nests over buffers: what ops lower to, what a plan holds and a backend compiles."""
