"""How a network computes, beside its precision: the values of `compile`, and where compiled code is kept."""

import os
from pathlib import Path
from typing import Literal

import torch

__all__ = ["Compile", "keep_compiled"]

Compile = Literal["default", "cuda_graphs", "both"]
"""See `NetworkPrior`."""


def keep_compiled() -> None:
    """Keep compiled code beside downloaded weights, for the next run to start in seconds.

    The environment variable TORCHINDUCTOR_CACHE_DIR says another place; PyTorch's own is lost with temporary files.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(torch.hub.get_dir()) / "inductor"))
    # Compiled gradients would else write over what they need, and a solver that goes back twice would be refused.
    torch._functorch.config.donated_buffer = False
