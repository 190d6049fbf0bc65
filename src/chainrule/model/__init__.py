"""The Model: what is trained, asked and saved, one file for each thing it does."""
