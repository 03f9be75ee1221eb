"""The networks that were trained on rooms and ship with the package: the pair of priors, and two readers."""

from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file
from torch import nn

from dis_lightning.priors.consistency import ConsistencyModel
from dis_lightning.priors.edm import EDM
from dis_lightning.rooms.readers import Reader, ReaderA, ReaderB, Reading

__all__ = [
    "WEIGHTS",
    "ClassReader",
    "LayoutReader",
    "SegmentationReader",
    "rooms_consistency",
    "rooms_edm",
    "rooms_reader_a",
    "rooms_reader_b",
]

AnyReader = TypeVar("AnyReader", bound=Reader)

WEIGHTS = Path(__file__).parent / "weights"
"""Where the files and the cards that say how they were made lie."""


def rooms_edm(clip: bool = True, dtype: torch.dtype | None = None) -> EDM:
    """The posterior mean of rooms of 32 x 32 pixels, by a trained network.

    Args:
        clip: whether to clamp estimates to [-1, 1]. Pixels that are clamped pass no gradient.
        dtype: precision of the network's torso; None for float32.
    """
    return EDM(str(WEIGHTS / "rooms_edm.safetensors"), clip, dtype)


def rooms_consistency(clip: bool = True, dtype: torch.dtype | None = None) -> ConsistencyModel:
    """The consistency map distilled from `rooms_edm`; arguments as there."""
    return ConsistencyModel(str(WEIGHTS / "rooms_consistency.safetensors"), clip, dtype)


def rooms_reader_a() -> ReaderA:
    """The reader that guides."""
    return _filled(ReaderA(), "rooms_reader_a.safetensors")


def rooms_reader_b() -> ReaderB:
    """The reader that judges."""
    return _filled(ReaderB(), "rooms_reader_b.safetensors")


class SegmentationReader(nn.Module):
    """What each pixel shows, as a network from pictures to logits.

    Args:
        reader: `rooms_reader_a()` or `rooms_reader_b()`.
    """

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.reader = reader

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits over `SEGMENTATION_CLASSES`, `(N, 8, H, W)`, of pictures `(N, 3, H, W)` in [-1, 1]."""
        reading: Reading = self.reader(x)
        return reading.segmentation


class LayoutReader(nn.Module):
    """Which surface of the empty room is behind each pixel, as a network from pictures to logits.

    Args:
        reader: `rooms_reader_a()` or `rooms_reader_b()`.
    """

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.reader = reader

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits over `LAYOUT_CLASSES`, `(N, 5, H, W)`, of pictures `(N, 3, H, W)` in [-1, 1]."""
        reading: Reading = self.reader(x)
        return reading.layout


class ClassReader(nn.Module):
    """The class of a room, as a network from pictures to logits.

    Args:
        reader: `rooms_reader_a()` or `rooms_reader_b()`.
    """

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.reader = reader

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits over `ROOM_CLASSES`, `(N, 6)`, of pictures `(N, 3, H, W)` in [-1, 1]."""
        reading: Reading = self.reader(x)
        return reading.label


def _filled(reader: AnyReader, name: str) -> AnyReader:
    reader.load_state_dict(load_file(WEIGHTS / name))
    return reader.requires_grad_(False).eval()
