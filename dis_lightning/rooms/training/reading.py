"""Training of a reader of rooms.

    L = CE(segmentation) + CE(layout) + CE(class),    of x_0 + s n,    s uniform in [0, noise]

The noise keeps the reader's gradients of use on pictures that are not quite rooms yet.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from dis_lightning.images import dequantise
from dis_lightning.rooms.readers import Reader
from dis_lightning.rooms.training.base import Training
from dis_lightning.rooms.training.data import RoomBatch

__all__ = ["ReaderTraining"]


class ReaderTraining(Training):
    """Train a reader.

    Args:
        model: the reader.
        noise: the largest standard deviation of the noise on the pictures, >= 0.
        rate: see `Training`.
        warm_up: see `Training`.
        decay_after: see `Training`.
        sharpness: see `Training`.
        seed: see `Training`.
    """

    model: Reader
    average: Reader

    def __init__(
        self,
        model: Reader,
        noise: float = 0.1,
        rate: float = 3e-3,
        warm_up: int = 100,
        decay_after: int = 500,
        sharpness: float = 12.0,
        seed: int = 0,
    ) -> None:
        super().__init__(model, rate, warm_up, decay_after, sharpness, seed)
        self.noise = noise

    def losses(self, rooms: RoomBatch, random: torch.Generator) -> Tensor:
        """See the module."""
        x = dequantise(rooms.images)
        s = self.noise * torch.rand(len(x), 1, 1, 1, generator=random, device=x.device)
        reading = self.model(x + s * torch.randn(x.shape, generator=random, device=x.device))
        segmentation = F.cross_entropy(reading.segmentation, rooms.segmentation.long(), reduction="none")
        layout = F.cross_entropy(reading.layout, rooms.layout.long(), reduction="none")
        label = F.cross_entropy(reading.label, rooms.labels.long(), reduction="none")
        return segmentation.mean(dim=(1, 2)) + layout.mean(dim=(1, 2)) + label
