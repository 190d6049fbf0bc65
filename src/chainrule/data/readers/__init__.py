"""Tables from files, queries, known data sets and memory."""
