"""Backends: plans to programs. They know no graph and no op."""
