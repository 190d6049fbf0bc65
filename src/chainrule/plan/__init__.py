"""From graph to plan: what a backend runs, told without graph and ops."""
