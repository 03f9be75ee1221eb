"""The ways to run a network that are compared: precision, compilation, memory layout, batch size."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from dis_lightning.priors import EDM

__all__ = ["Setting", "settings"]


@dataclass(frozen=True)
class Setting:
    """One way to run a network.

    Attributes:
        batch: images at a time.
        dtype: precision of the network's torso.
        compiled: whether by `torch.compile`.
        channels_last: whether weights, and so features, lie with their channels side by side.
        cuda_graphs: whether the compiled code is replayed as CUDA graphs.
    """

    batch: int
    dtype: torch.dtype = torch.float32
    compiled: bool = False
    channels_last: bool = False
    cuda_graphs: bool = False

    @property
    def precision(self) -> str:
        """Name of the precision."""
        return str(self.dtype).removeprefix("torch.")

    @property
    def label(self) -> str:
        """The setting in words, without the batch size."""
        words = [self.precision, "compiled" if self.compiled else "eager"]
        return ", ".join(words + ["channels last"] * self.channels_last + ["CUDA graphs"] * self.cuda_graphs)

    def apply(self, denoiser: EDM) -> None:
        """Lay out and compile a network that was built in this precision."""
        if self.channels_last:
            denoiser.network.to(memory_format=torch.channels_last)
        if self.compiled:
            # Without `fullgraph`, what cannot be compiled would run eagerly and be reported as compiled.
            mode = "reduce-overhead" if self.cuda_graphs else "default"
            denoiser.compile(mode=mode, fullgraph=True, dynamic=False)


def settings(batches: Sequence[int], compiled: bool, channels_last: bool, cuda_graphs: bool) -> list[Setting]:
    """All settings to compare; the first is the plain one, float32 at batch 1, that the others are held against.

    Args:
        batches: batch sizes beside 1.
        compiled: whether to compile.
        channels_last: whether to try each bfloat16 setting with channels last too.
        cuda_graphs: whether to try the compiled setting with CUDA graphs too.
    """
    half = Setting(1, torch.bfloat16)
    ways = [Setting(1), half]
    ways += [replace(half, compiled=True)] * compiled
    ways += [replace(half, compiled=True, cuda_graphs=True)] * cuda_graphs
    ways += [replace(way, channels_last=True) for way in ways if way.dtype == half.dtype] * channels_last
    return [replace(way, batch=batch) for way in ways for batch in sorted({1, *batches})]
