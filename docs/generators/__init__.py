"""The generators of pages of the documentation."""
