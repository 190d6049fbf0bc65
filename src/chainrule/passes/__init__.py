"""Graph to graph: what is changed before a graph is run."""
