"""The version, which model files and kept machine code name."""

__version__ = "0.1.0"
