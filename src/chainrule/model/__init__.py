"""The Model: a network that is trained, used for prediction and saved; one file a task."""
