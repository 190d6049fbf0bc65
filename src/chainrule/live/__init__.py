"""A run on a page while it goes on: the playground, and `train --live`; served on this machine."""
