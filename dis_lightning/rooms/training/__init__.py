"""Training of the rooms pair and of the readers of rooms."""
