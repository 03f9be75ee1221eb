"""How a network computes, beside its precision: the values of `compile`, and where compiled code is kept."""

import os
from pathlib import Path
from typing import Literal

import torch

__all__ = ["Compile", "prepare_compiler"]

Compile = Literal["default", "cuda_graphs", "both"]
"""See `NetworkPrior`."""


SIZES = 64
"""How often a network may be compiled: for each size of a batch, with a gradient and without."""


def prepare_compiler() -> None:
    """Have code compiled for what solvers ask of a network, and kept beside downloaded weights for the next run.

    The environment variable TORCHINDUCTOR_CACHE_DIR says another place; PyTorch's own is lost with temporary files.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(torch.hub.get_dir()) / "inductor"))
    # Compiled gradients would else write over what they need, and a solver that goes back twice would be refused.
    torch._functorch.config.donated_buffer = False
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, SIZES)
