"""The rooms world as a data set: rendered when asked for, nothing to download."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dis_lightning.data.base import ImageData, ImageSet, Item
from dis_lightning.data.decoding import to_tensor
from dis_lightning.errors import require_whole
from dis_lightning.rooms.world import ROOM_CLASSES, SMALLEST_ROOM, Room, render_room, require_split

__all__ = ["RoomItem", "RoomsData"]


class RoomItem(Item):
    """A rendered room and all that is known about it."""

    segmentation: Tensor
    """Class of each pixel, int64, `(H, W)`."""
    layout: Tensor
    """Wall, floor or ceiling that each pixel would show if the room were empty, int64, `(H, W)`."""
    caption: str
    """What the room holds, in words."""


class RoomsData(ImageData):
    """The first rooms of a split, numbered from 0.

    Args:
        split: which rooms: train, val, tune, test or reference, which have no room in common.
        size: side of the images in pixels, >= 8.
        seed: which world, >= 0.
        num_images: number of images, >= 1; there is no end to them.
        batch_size: images per batch, >= 1.
        num_workers: processes that render images ahead, for each process that samples.
        shard: the part of the images to take, "i/n" with i in 0 .. n - 1, in whole batches; None takes all.

    Raises:
        ValueError: if an argument is out of range.
    """

    num_images: int

    def __init__(
        self,
        split: str = "test",
        size: int = 32,
        seed: int = 0,
        num_images: int = 1000,
        batch_size: int = 1,
        num_workers: int = 0,
        shard: str | None = None,
    ) -> None:
        super().__init__(num_images, batch_size, num_workers, shard)
        require_whole(self, 1, num_images=num_images)  # there is no end to rooms: all are none
        require_whole(self, SMALLEST_ROOM, size=size)
        require_whole(self, 0, seed=seed)
        require_split(split)
        self.split = split
        self.size = size
        self.seed = seed

    def find(self) -> ImageSet:
        """See `ImageData.find`."""
        return _Rooms(self.split, self.size, self.seed, self.num_images)


class _Rooms(ImageSet):
    classes = ROOM_CLASSES

    def __init__(self, split: str, size: int, seed: int, num_images: int) -> None:
        self.split = split
        self.size = size
        self.seed = seed
        self.num_images = num_images
        self.shape = (3, size, size)

    def __len__(self) -> int:
        return self.num_images

    def __getitem__(self, index: int) -> RoomItem:
        room = self._render(index)
        return {
            "image": to_tensor(room.image),
            "index": index,
            "name": self._name(index),
            "label": room.label,
            "segmentation": _labels(room.segmentation),
            "layout": _labels(room.layout),
            "caption": room.caption,
        }

    @property
    def names(self) -> list[str]:
        """See `ImageSet`."""
        return [self._name(index) for index in range(len(self))]

    def _name(self, index: int) -> str:
        return f"{self.split}/{index:05d}"

    def _render(self, index: int) -> Room:
        return render_room(self.split, index, self.size, self.seed)


def _labels(classes: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(classes.astype(np.int64))
