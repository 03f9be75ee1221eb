"""Checkpoints: where the weights of published networks are, in which formats, and how they become networks of ours."""
