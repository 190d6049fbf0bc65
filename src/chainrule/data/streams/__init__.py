"""Data larger than memory: arrays on disk, read block by block."""
