"""Training: optimizers, schedules, the loop, metrics, history and progress."""
