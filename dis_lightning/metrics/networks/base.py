"""The contract of the networks that turn images into vectors, for metrics that compare images by them."""

import hashlib
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dis_lightning.described import Described
from dis_lightning.digests import weights_hashes
from dis_lightning.weights import LazyNetwork, fetch, file_cards

__all__ = ["FeatureNetwork", "StoredFeatures"]

CHUNK = 64
"""Images that go through a network at once."""

REMEMBERED = 4
"""How many sets of features are remembered: samples and sources, for whole images and for pieces of them."""

_RECENT: dict[tuple[str, tuple[int, ...], bytes], Tensor] = {}


class FeatureNetwork(Described, ABC):
    """A network that gives a vector of features for every image.

    Attributes:
        name: what metrics on these features are called after.
        network: the network.
    """

    name: ClassVar[str]
    network: LazyNetwork[Any]

    def load(self, device: torch.device | str = "cpu") -> None:
        """Read the network, once.

        Args:
            device: where it is needed.

        Raises:
            ConnectionError: if a file is not here and cannot be downloaded; it says which file to put where.
            ValueError: if a file is damaged or holds another network.
        """
        self.network.load(device)

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """Features of 8-bit images `(N, 3, H, W)`, `(N, D)`."""

    @abstractmethod
    def define(self) -> dict[str, Any]:
        """What the features depend on: network, hash of the weights, how images are resized; after `load`."""

    @torch.no_grad()
    def rows(self, images: Tensor) -> Tensor:
        """Features of any number of 8-bit images `(N, C, H, W)`, float32, on the CPU, `(N, D)`.

        Grey images, C = 1, are seen as three equal channels. What was looked at last is remembered, for several metrics
        ask for the features of the same samples.
        """
        # Patches have the same bytes as the image that they are cut from where it is of one colour.
        content = hashlib.sha256(images.cpu().contiguous().numpy().tobytes()).digest()
        place = (self._identity, tuple(images.shape), content)
        if place not in _RECENT:
            coloured = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
            _RECENT[place] = torch.cat([self.features(part).float().cpu() for part in coloured.split(CHUNK)])
            while len(_RECENT) > REMEMBERED:
                _RECENT.pop(next(iter(_RECENT)))
        return _RECENT[place]

    @cached_property
    def _identity(self) -> str:
        return str(self.define())


class StoredFeatures(FeatureNetwork):
    """Features of one architecture, whose weights are in a file.

    Args:
        weights: a file, or a card of `dis_lightning/metrics/networks/cards.yaml`.
    """

    def __init__(self, weights: str) -> None:
        self.weights = weights
        self.network = LazyNetwork(self._read, weights)
        self._file = Path()

    @abstractmethod
    def build(self, file: Path) -> nn.Module:
        """Read the network from its file."""

    def hashes(self) -> dict[str, str]:
        """See `weights_hashes`."""
        return weights_hashes(self.network.load(), self._file)

    def _read(self) -> nn.Module:
        self._file = fetch(self.weights, file_cards("dis_lightning.metrics.networks"))
        return self.build(self._file)
