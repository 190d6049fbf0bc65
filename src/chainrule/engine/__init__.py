"""From a graph to a running program, step by step."""
