"""Pages to look inside: one HTML file with the graph, its rows, and every number recomputed."""
