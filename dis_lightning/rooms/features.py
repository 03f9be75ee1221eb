"""What a reader of rooms sees in a picture, as features for metrics that work without a download."""

from typing import Any, ClassVar

from torch import Tensor

from dis_lightning.digests import weights_digest
from dis_lightning.images import dequantise
from dis_lightning.metrics.networks.base import FeatureNetwork
from dis_lightning.rooms.readers import Reader
from dis_lightning.rooms.trained import rooms_reader_a
from dis_lightning.weights import LazyNetwork

__all__ = ["RoomsFeatures"]


class RoomsFeatures(FeatureNetwork):
    """The features that a reader tells the class of a room from.

    Args:
        reader: the reader; by default the one that guides, `rooms_reader_a`.
    """

    name: ClassVar[str] = "rooms"
    network: LazyNetwork[Reader]

    def __init__(self, reader: Reader | None = None) -> None:
        self.network = LazyNetwork(rooms_reader_a if reader is None else reader)

    def features(self, images: Tensor) -> Tensor:
        """See `FeatureNetwork.features`."""
        return self.network.ready(images).features(dequantise(images))

    def define(self) -> dict[str, Any]:
        """See `FeatureNetwork.define`."""
        reader = self.network.load()
        return {
            "network": f"{type(reader).__name__}, features of the class",
            "weights_tensors_sha256": weights_digest(reader),
            "resize": "none",
        }
