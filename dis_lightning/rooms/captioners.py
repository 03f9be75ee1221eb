"""Captioners: small networks that say how well a caption fits the picture of a room.

One tower sees pictures, one reads sentences; both end in a vector of length 1, as in Radford et al., "Learning
Transferable Visual Models From Natural Language Supervision", 2021. A picture and a caption match with

    P(match | x, c) = sigmoid(a <see(x), read(c)> + b),    a > 0 and b learned,

the pairwise form of Zhai et al., "Sigmoid Loss for Language Image Pre-Training", 2023. There are two captioners, of
different architecture, trained on different rooms: `CaptionerA` is meant to guide a solver, `CaptionerB` to judge.

    A   strided convolutions down to 4 x 4 pixels;          words in windows of five
    B   patches of 4 x 4 pixels, mixed channel by channel;  words one after the other, by a gated recurrent unit

A sentence is the strongest answer of each of its features, wherever in the sentence it comes.
"""

import math
from abc import ABC, abstractmethod
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dis_lightning.described import Described
from dis_lightning.images.resizing import pooled
from dis_lightning.rooms.captions import vocabulary

__all__ = ["Captioner", "CaptionerA", "CaptionerB"]


class Captioner(Described, nn.Module, ABC):
    """Two towers that meet in one space.

    Attributes:
        log_scale: `ln a`.
        bias: `b`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.bias = nn.Parameter(torch.tensor(0.0))

    @abstractmethod
    def picture_tower(self, x: Tensor) -> Tensor:
        """Features of pictures `(N, 3, H, W)`, in [-1, 1], H and W multiples of 8: `(N, D)`."""

    @abstractmethod
    def word_tower(self, words: Tensor) -> Tensor:
        """Features of sentences `(M, L)`, numbers of words as `captions.tokens` gives them: `(M, D)`."""

    def see(self, x: Tensor) -> Tensor:
        """Unit vectors of pictures, `(N, D)`; see `picture_tower`."""
        return F.normalize(self.picture_tower(x), dim=1)

    def read(self, words: Tensor) -> Tensor:
        """Unit vectors of sentences, `(M, D)`; see `word_tower`."""
        return F.normalize(self.word_tower(words), dim=1)

    def logits(self, cosines: Tensor) -> Tensor:
        """The log-odds of a match, from the cosine between the unit vectors."""
        return self.log_scale.exp() * cosines + self.bias

    def forward(self, x: Tensor, words: Tensor) -> Tensor:
        """The log-odds that pictures match sentences, each with each, `(N, M)`."""
        return self.logits(self.see(x) @ self.read(words).T)


class CaptionerA(Captioner):
    """Strided convolutions, and windows of words. See the module.

    Args:
        widths: channels at full, half, quarter and eighth size.
        reading: features of the words.
        depth: length of the common vectors, D.
    """

    def __init__(
        self, widths: tuple[int, int, int, int] = (24, 40, 64, 96), reading: int = 96, depth: int = 64
    ) -> None:
        super().__init__()
        self.down = nn.Sequential(
            _convolution(3, widths[0], 1),
            *(
                nn.Sequential(_convolution(fine, coarse, 2), _convolution(coarse, coarse, 1))
                for fine, coarse in pairwise(widths)
            ),
        )
        self.seen = nn.Linear(16 * widths[-1], depth)
        self.embedding = nn.Embedding(1 + len(vocabulary()), 32, padding_idx=0)
        self.window = nn.Conv1d(32, reading, 5, padding=2)
        self.told = nn.Linear(reading, depth)

    def picture_tower(self, x: Tensor) -> Tensor:
        """See `Captioner`."""
        features: Tensor = self.seen(pooled(self.down(x), 4).flatten(1))
        return features

    def word_tower(self, words: Tensor) -> Tensor:
        """See `Captioner`."""
        heard = F.silu(self.window(self.embedding(words).transpose(1, 2)))
        features: Tensor = self.told(heard.masked_fill((words == 0).unsqueeze(1), -1.0).amax(dim=2))
        return features


class CaptionerB(Captioner):
    """Patches, mixed, and a gated recurrent unit. See the module.

    Args:
        width: channels of the patches.
        blocks: how often they are mixed.
        reading: length of the unit's state.
        depth: length of the common vectors, D.
    """

    def __init__(self, width: int = 96, blocks: int = 3, reading: int = 96, depth: int = 64) -> None:
        super().__init__()
        self.patches = nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(48, width, 1), nn.BatchNorm2d(width))
        self.mixing = nn.Sequential(*(_Mixer(width) for _ in range(blocks)))
        self.seen = nn.Linear(16 * width, depth)
        self.embedding = nn.Embedding(1 + len(vocabulary()), 32, padding_idx=0)
        self.unit = nn.GRU(32, reading, batch_first=True)
        self.told = nn.Linear(reading, depth)

    def picture_tower(self, x: Tensor) -> Tensor:
        """See `Captioner`."""
        features: Tensor = self.seen(pooled(self.mixing(self.patches(x)), 4).flatten(1))
        return features

    def word_tower(self, words: Tensor) -> Tensor:
        """See `Captioner`."""
        states, _ = self.unit(self.embedding(words))
        features: Tensor = self.told(states.masked_fill((words == 0).unsqueeze(2), -1.0).amax(dim=1))
        return features


class _Mixer(nn.Module):
    """`x + W_2 SiLU(BN(W_1 BN(depthwise(x))))`: first over the neighbours, then over the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.neighbours = nn.Conv2d(width, width, 5, padding=2, groups=width, bias=False)
        self.calm = nn.BatchNorm2d(width)
        self.widen = nn.Conv2d(width, 2 * width, 1, bias=False)
        self.calm_wide = nn.BatchNorm2d(2 * width)
        self.narrow = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.narrow(F.silu(self.calm_wide(self.widen(self.calm(self.neighbours(x))))))
        return x + h


def _convolution(incoming: int, outgoing: int, stride: int) -> nn.Sequential:
    layer = nn.Conv2d(incoming, outgoing, 3, stride, padding=1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outgoing), nn.SiLU())
