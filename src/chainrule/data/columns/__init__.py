"""One learned encoder for each kind of column, and what cells mean."""
