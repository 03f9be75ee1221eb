"""Readers: small networks that say what is in the picture of a room.

A reader has one trunk and three heads: what each pixel shows, which surface of the empty room is behind it, and the
class of the room. There are two, of different architecture, trained on different rooms: `ReaderA` is meant to guide a
solver, `ReaderB` to judge the result.

    A   a U-Net: features at 32, 16, 8 and 4 pixels, the coarse ones added back to the fine ones
    B   blocks of 2 x 2 pixels as channels, dilated convolutions at half size, pixels unfolded again
"""

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dis_lightning.described import Described
from dis_lightning.rooms.world import LAYOUT_CLASSES, ROOM_CLASSES, SEGMENTATION_CLASSES

__all__ = ["Reader", "ReaderA", "ReaderB", "Reading"]


class Reading(NamedTuple):
    """Logits of everything that a reader says about N rooms."""

    segmentation: Tensor
    """`(N, 8, H, W)`, over `SEGMENTATION_CLASSES`."""
    layout: Tensor
    """`(N, 5, H, W)`, over `LAYOUT_CLASSES`."""
    label: Tensor
    """`(N, 6)`, over `ROOM_CLASSES`."""


class Reader(Described, nn.Module, ABC):
    """A trunk with three heads.

    Args:
        width: channels of the maps that the heads read.
        depth: length of the features that the class is read from.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.segmentation_head = nn.Conv2d(width, len(SEGMENTATION_CLASSES), 1)
        self.layout_head = nn.Conv2d(width, len(LAYOUT_CLASSES), 1)
        self.label_head = nn.Linear(depth, len(ROOM_CLASSES))

    @abstractmethod
    def trunk(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Read pictures.

        Args:
            x: pictures, `(N, 3, H, W)`, in [-1, 1]; H and W multiples of 8.

        Returns:
            A map of features, `(N, width, H, W)`, and one vector of features per picture, `(N, depth)`.
        """

    def forward(self, x: Tensor) -> Reading:
        """Read pictures, `(N, 3, H, W)`, in [-1, 1]; H and W multiples of 8."""
        pixels, whole = self.trunk(x)
        return Reading(self.segmentation_head(pixels), self.layout_head(pixels), self.label_head(whole))

    def features(self, x: Tensor) -> Tensor:
        """The features that the class is read from, `(N, depth)`, of pictures `(N, 3, H, W)`."""
        return self.trunk(x)[1]


class ReaderA(Reader):
    """A small U-Net. See the module.

    Args:
        widths: channels at full, half, quarter and eighth size.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (24, 40, 64, 96)) -> None:
        super().__init__(widths[0], widths[-1])
        self.stem = _convolution(3, widths[0])
        self.down = nn.ModuleList(
            nn.Sequential(_convolution(fine, coarse, stride=2), _Residual(coarse)) for fine, coarse in pairwise(widths)
        )
        self.narrow = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(widths))
        self.up = nn.ModuleList(_Residual(fine) for fine in widths[:-1])

    def trunk(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Reader`; the vector is the mean of the coarsest map."""
        h = self.stem(x)
        skips = []
        for level in self.down:
            skips.append(h)
            h = level(h)
        whole = h.mean(dim=(2, 3))
        for narrow, residual, skip in reversed(list(zip(self.narrow, self.up, skips, strict=True))):
            h = residual(skip + F.interpolate(narrow(h), scale_factor=2.0))
        return h, whole


class ReaderB(Reader):
    """Dilated convolutions at half size. See the module.

    Args:
        width: channels at half size, a multiple of 4.
        dilations: of the residual blocks, one after the other.
    """

    def __init__(self, width: int = 48, dilations: tuple[int, ...] = (1, 2, 4, 8, 4, 2, 1)) -> None:
        super().__init__(width // 4 + 12, width)
        self.stem = _convolution(12, width)
        self.body = nn.Sequential(*(_Residual(width, dilation) for dilation in dilations))
        self.detail = _convolution(3, 12)

    def trunk(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Reader`; the vector is the mean of the map at half size."""
        h = self.body(self.stem(F.pixel_unshuffle(x, 2)))
        return torch.cat([F.pixel_shuffle(h, 2), self.detail(x)], dim=1), h.mean(dim=(2, 3))


class _Residual(nn.Module):
    """`x + SiLU(BN(Conv(SiLU(BN(Conv(x))))))`."""

    def __init__(self, width: int, dilation: int = 1) -> None:
        super().__init__()
        self.first = _convolution(width, width, dilation=dilation)
        self.second = _convolution(width, width)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.second(self.first(x))
        return x + h


def _convolution(incoming: int, outgoing: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(incoming, outgoing, 3, stride, padding=dilation, dilation=dilation, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outgoing), nn.SiLU())
