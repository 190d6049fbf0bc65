"""Operating system services: atomic files, cache folders, signals, forks, worker processes."""
