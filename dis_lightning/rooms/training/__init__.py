"""Training of the rooms pair, and of the readers and captioners of rooms."""
