"""What is laid before a network for each kind of task, and the way back to the image."""
