"""What is asked of the operating system: whole files, cache folders, signals, forks, workers."""
