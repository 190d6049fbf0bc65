"""The learning of a model as its page shows it: measured while a run goes on, kept in a file."""
