"""The contract of the networks that turn images into vectors, for metrics that compare images by them."""

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dis_lightning.weights import fetch, file_cards, file_sha256

__all__ = ["FeatureNetwork", "StoredFeatures", "weights_digest", "weights_hashes"]

CHUNK = 64
"""Images that go through a network at once."""


class FeatureNetwork(ABC):
    """A network that gives a vector of features for every image.

    Attributes:
        name: what metrics on these features are called after.
    """

    name: ClassVar[str]

    @abstractmethod
    def load(self, device: torch.device | str = "cpu") -> None:
        """Read the network, once.

        Args:
            device: where it is needed.

        Raises:
            ConnectionError: if a file is not here and cannot be downloaded; it says which file to put where.
            ValueError: if a file is damaged or holds another network.
        """

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """Features of 8-bit images `(N, 3, H, W)`, `(N, D)`; call `load` first."""

    @abstractmethod
    def define(self) -> dict[str, Any]:
        """What the features depend on: network, hash of the weights, how images are resized; after `load`."""

    @torch.no_grad()
    def rows(self, images: Tensor) -> Tensor:
        """Features of any number of 8-bit images `(N, 3, H, W)`, float32, on the CPU, `(N, D)`."""
        return torch.cat([self.features(part).float().cpu() for part in images.split(CHUNK)])


class StoredFeatures(FeatureNetwork):
    """Features of one architecture, whose weights are in a file.

    Args:
        weights: a file, or a card of `dis_lightning/metrics/cards.yaml`.
    """

    def __init__(self, weights: str) -> None:
        self.weights = weights
        self._network: nn.Module | None = None
        self._file = Path()

    @abstractmethod
    def build(self, file: Path) -> nn.Module:
        """Read the network from its file."""

    @property
    def network(self) -> nn.Module:
        """The network, known after `load`."""
        assert self._network is not None
        return self._network

    def load(self, device: torch.device | str = "cpu") -> None:
        """See `FeatureNetwork.load`."""
        if self._network is None:
            self._file = fetch(self.weights, file_cards("dis_lightning.metrics"))
            self._network = self.build(self._file)
        self._network.to(device)

    def hashes(self) -> dict[str, str]:
        """See `weights_hashes`; after `load`."""
        return weights_hashes(self.network, self._file)


def weights_hashes(network: nn.Module, file: Path) -> dict[str, str]:
    """What tells weights from others, for a definition: the SHA-256 of their tensors, and of their file."""
    return {"weights_tensors_sha256": weights_digest(network), "weights_file_sha256": file_sha256(file)}


def weights_digest(network: nn.Module) -> str:
    """SHA-256 of all tensors of a network, in the order of their names; not that of the file that they came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted([*network.named_parameters(), *network.named_buffers()]):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
