"""Training-free diffusion inverse solvers as a PyTorch Lightning framework."""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Late, for it imports what `import dis_lightning` does without.
    if name == "as_deepinv":
        from dis_lightning.reconstructor import as_deepinv

        return as_deepinv
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
