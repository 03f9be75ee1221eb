"""What a reader of rooms sees in a picture, as features for metrics that work without a download."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from dis_lightning.images import dequantise
from dis_lightning.metrics.networks.base import FeatureNetwork
from dis_lightning.rooms.pair import rooms_reader_a
from dis_lightning.rooms.readers import Reader
from dis_lightning.weights.digests import weights_digest

__all__ = ["RoomsFeatures"]


class RoomsFeatures(FeatureNetwork):
    """The features that a reader tells the class of a room from.

    Args:
        reader: the reader; by default the one that guides, `rooms_reader_a`.
    """

    name: ClassVar[str] = "rooms"

    def __init__(self, reader: Reader | None = None) -> None:
        self._reader = reader

    def load(self, device: torch.device | str = "cpu") -> None:
        """See `FeatureNetwork.load`."""
        self._reader = (rooms_reader_a() if self._reader is None else self._reader).to(device)

    def features(self, images: Tensor) -> Tensor:
        """See `FeatureNetwork.features`."""
        assert self._reader is not None
        return self._reader.features(dequantise(images))

    def define(self) -> dict[str, Any]:
        """See `FeatureNetwork.define`."""
        assert self._reader is not None
        return {
            "network": f"{type(self._reader).__name__}, features of the class",
            "weights_tensors_sha256": weights_digest(self._reader),
            "resize": "none",
        }
