"""Ranks: the processes, on one machine or several, that share the work of a run."""
