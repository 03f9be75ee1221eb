"""Training-free diffusion inverse solvers as a PyTorch Lightning framework."""

__version__ = "0.1.0"
