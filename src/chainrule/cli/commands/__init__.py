"""The commands, as the command line runs them."""
