"""The ways to run a network that are compared: precision, compilation, fused layers, batch size."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from dis_lightning.priors import EDM, UNet
from dis_lightning.priors.networks.computing import Compile

__all__ = ["Setting", "settings"]


@dataclass(frozen=True)
class Setting:
    """One way to run a network.

    Attributes:
        batch: images at a time.
        dtype: precision of the network's torso.
        compile: see `NetworkPrior`.
        fused: see `NetworkPrior`.
    """

    batch: int
    dtype: torch.dtype = torch.float32
    compile: Compile | None = None
    fused: bool = False

    @property
    def precision(self) -> str:
        """Name of the precision."""
        return str(self.dtype).removeprefix("torch.")

    @property
    def label(self) -> str:
        """The setting in words, without the batch size."""
        words = {None: ["eager"], "default": ["compiled"], "cuda_graphs": ["eager", "CUDA graphs"]}
        both = ["compiled", "CUDA graphs"]
        return ", ".join([self.precision, *words.get(self.compile, both), *["fused"] * self.fused])

    def prior(self, network: UNet) -> EDM:
        """A prior that runs a network, built in this precision, this way."""
        return EDM(network.requires_grad_(False).eval(), compile=self.compile, fused=self.fused)


def settings(batches: Sequence[int], compile: Sequence[Compile], fused: bool) -> list[Setting]:
    """All settings to compare; the first is the plain one, float32 at batch 1, that the others are held against.

    Args:
        batches: batch sizes beside 1.
        compile: the ways to compile that are tried.
        fused: whether to try each bfloat16 setting with fused layers too.
    """
    half = Setting(1, torch.bfloat16)
    ways = [half, *(replace(half, compile=way) for way in compile)]
    ways += [replace(way, fused=True) for way in ways] * fused
    return [replace(way, batch=batch) for way in [Setting(1), *ways] for batch in sorted({1, *batches})]
