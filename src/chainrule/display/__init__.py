"""Numbers, tables and charts as text and SVG; knows nothing of networks."""
