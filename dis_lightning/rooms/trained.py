"""The networks that were trained on rooms and ship with the package: two priors, two readers, two captioners."""

from pathlib import Path
from typing import TypeVar

from torch import nn

from dis_lightning.priors.consistency import ConsistencyModel
from dis_lightning.priors.edm import EDM
from dis_lightning.priors.networks.computing import Compile
from dis_lightning.rooms.captioners import CaptionerA, CaptionerB
from dis_lightning.rooms.readers import ReaderA, ReaderB
from dis_lightning.weights import Precision, fill, read_tensors

__all__ = [
    "WEIGHTS",
    "rooms_captioner_a",
    "rooms_captioner_b",
    "rooms_consistency",
    "rooms_edm",
    "rooms_reader_a",
    "rooms_reader_b",
]

Network = TypeVar("Network", bound=nn.Module)

WEIGHTS = Path(__file__).parent / "weights"
"""Where the files and the cards that say how they were made lie."""


def rooms_edm(
    clip: bool = True, dtype: Precision | None = None, compile: Compile | None = None, fused: bool = False
) -> EDM:
    """The posterior mean of rooms of 32 x 32 pixels, by a trained network.

    Args:
        clip: whether to clamp estimates to [-1, 1]. Pixels that are clamped pass no gradient.
        dtype: precision of the network's torso; None for float32.
        compile: how it is compiled, "default", "cuda_graphs" or "both"; None for not at all. See `NetworkPrior`.
        fused: whether it takes the fused layers of this package on a GPU; see `NetworkPrior`.
    """
    return EDM(str(WEIGHTS / "rooms_edm.safetensors"), clip=clip, dtype=dtype, compile=compile, fused=fused)


def rooms_consistency(
    clip: bool = True, dtype: Precision | None = None, compile: Compile | None = None, fused: bool = False
) -> ConsistencyModel:
    """The consistency map distilled from `rooms_edm`; arguments as there."""
    file = str(WEIGHTS / "rooms_consistency.safetensors")
    return ConsistencyModel(file, clip=clip, dtype=dtype, compile=compile, fused=fused)


def rooms_reader_a() -> ReaderA:
    """The reader that guides."""
    return _filled(ReaderA(), "rooms_reader_a.safetensors")


def rooms_reader_b() -> ReaderB:
    """The reader that judges."""
    return _filled(ReaderB(), "rooms_reader_b.safetensors")


def rooms_captioner_a() -> CaptionerA:
    """The captioner that guides."""
    return _filled(CaptionerA(), "rooms_captioner_a.safetensors")


def rooms_captioner_b() -> CaptionerB:
    """The captioner that judges."""
    return _filled(CaptionerB(), "rooms_captioner_b.safetensors")


def _filled(network: Network, name: str) -> Network:
    return fill(network, read_tensors(WEIGHTS / name), WEIGHTS / name, type(network).__name__)
