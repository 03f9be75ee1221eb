"""What every DataModule shares: the first N images of a source, and how batches are dealt to processes.

With N images, batches of B and W processes,

    batch k    holds images  k B .. min((k + 1) B, N) - 1,      k = 0 .. ceil(N / B) - 1,
    process r  takes batches r, r + W, r + 2 W, ...

So a batch holds the same images however many processes there are, and its numbers do not depend on how the work was
split.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import ceil
from typing import NotRequired, TypedDict

import lightning
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from dis_lightning.data.synsets import imagenet_classes
from dis_lightning.described import Described
from dis_lightning.errors import InvalidValueError, require_whole
from dis_lightning.shards import parts_of, places_of
from dis_lightning.types import Batch

__all__ = ["ImageData", "ImageSet", "Item", "data_of"]


MOST_IMAGES = 10_000_000
"""Above it is a slip: the names of so many images alone take gigabytes."""
MOST_WORKERS = 1024
"""Processes that read images; above it is a slip, which would take all the memory of a machine."""


class Item(TypedDict):
    """One image and what is known about it; `Batch` is the same for several."""

    image: NotRequired[Tensor]
    """Clean image, float32, `(C, H, W)`, in [-1, 1]."""
    measurement: NotRequired[Tensor]
    """In place of it where nobody knows it: a picture of what was measured, `(c, h, w)`, in [-1, 1]."""
    y: NotRequired[Tensor]
    """In place of both: a measurement in the operator's own numbers, `(...)`."""
    index: int
    """Position in the data set, from 0."""
    name: str
    """Where the image came from, for people."""
    label: NotRequired[int]
    """Class, where known."""


class ImageSet(Dataset[Item], ABC):
    """Images of one size in a fixed order, read when they are asked for.

    Attributes:
        shape: shape of every image, `(C, H, W)`, or of every measurement.
        classes: names of the classes that the labels count, 0 .. len - 1, where they are known.
        truth: whether these are clean images, and not what was measured of images that nobody knows.
    """

    shape: tuple[int, ...]
    classes: tuple[str, ...] | None = None
    truth: bool = True

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abstractmethod
    def __getitem__(self, index: int) -> Item:
        """The image at position `index`, 0 .. len - 1."""

    @property
    def names(self) -> Sequence[str]:
        """The name of every image, in their order."""
        return [self[index]["name"] for index in range(len(self))]

    @property
    def every_name(self) -> Sequence[str]:
        """The names of all images of the run, whichever part of it this is."""
        return self.names

    def require_labels(self, num_classes: int) -> None:
        """Refuse to give labels to a prior of other classes; called before anything is sampled.

        Args:
            num_classes: number of classes of the prior. One of 1,000 classes counts those of ImageNet.

        Raises:
            ValueError: if the images have no labels, or if these count other classes than the prior does.
        """
        if "label" not in self[0]:
            raise InvalidValueError(
                f"The prior is conditional on one of {num_classes} classes, but the data has no labels; use data with "
                "labels (--data=ImageNetData), or an unconditional prior."
            )
        own, published = self.classes, imagenet_classes()
        if own is None or (len(own) == num_classes and (own == published or num_classes != len(published))):
            return
        counted = "ImageNet" if own == published else ", ".join(own[:3]) + ", ..." * (len(own) > 3)
        ids = f"WordNet ids ({published[0]}) or by " if num_classes == len(published) else ""
        raise InvalidValueError(
            f"The labels of the data count its own {len(own)} classes ({counted}), which say nothing of the prior's "
            f"{num_classes}; name the class folders by {ids}the prior's numbers (0 .. {num_classes - 1})."
        )


class ImageData(Described, lightning.LightningDataModule, ABC):
    """The first images of a source, in its order, for `Trainer.predict`.

    Args:
        num_images: number of images N, >= 1; None takes all.
        batch_size: images per batch B, >= 1.
        num_workers: processes that read images ahead, for each process that samples; 0 reads in the process itself.
        shard: which part of the images is taken, "i/n" with i in 0 .. n - 1; None takes all. Parts are whole batches
            that follow each other, and images keep their indices: a part gives what the whole run gives for it, bit for
            bit.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(self, num_images: int | None, batch_size: int, num_workers: int, shard: str | None = None) -> None:
        super().__init__()
        if shard is not None:
            parts_of(shard)  # which refuses what is none
        self.shard = shard
        if num_images is not None:
            require_whole(self, 1, MOST_IMAGES, num_images=num_images)
        require_whole(self, 1, batch_size=batch_size)
        require_whole(self, 0, MOST_WORKERS, num_workers=num_workers)
        self.num_images = num_images
        self.batch_size = batch_size
        self.num_workers = num_workers
        self._images: ImageSet | None = None

    @abstractmethod
    def find(self) -> ImageSet:
        """Find the first `num_images` images, or all, and check every one of them.

        Raises:
            FileNotFoundError: if there are none.
            ValueError: if they cannot be used.
        """

    def setup(self, stage: str = "predict") -> None:
        """Find and check the images; the same on every process, and again at every call.

        Args:
            stage: Lightning's name of the run; it makes no difference.

        Raises:
            FileNotFoundError: if there are no images.
            ValueError: if the images cannot be used, or if there are fewer batches than processes.
        """
        processes, _ = self._world()
        found = self.find()
        self._images = found if self.shard is None else _Shard(found, self.shard, self.batch_size)
        _require_work(len(self._images), self.batch_size, processes)

    @property
    def images(self) -> ImageSet:
        """The images, known after `setup`.

        Raises:
            RuntimeError: before `setup`.
        """
        if self._images is None:
            raise RuntimeError(f"{type(self).__name__} knows its images after setup; call setup() first.")
        return self._images

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of every image, `(C, H, W)`, or of every measurement, known after `setup`.

        Raises:
            RuntimeError: before `setup`.
        """
        return self.images.shape

    @property
    def share(self) -> int:
        """Number of images in the batches of this process, known after `setup`.

        Raises:
            RuntimeError: before `setup`.
        """
        processes, rank = self._world()
        firsts = range(rank * self.batch_size, len(self.images), processes * self.batch_size)
        return sum(min(self.batch_size, len(self.images) - first) for first in firsts)

    def predict_dataloader(self) -> DataLoader[Batch]:
        """The batches of this process, in order.

        Raises:
            RuntimeError: before `setup`.
        """
        processes, rank = self._world()
        batches = _Batches(self.images, self.batch_size)
        # Lightning deals a loader out by itself, unless told not to or unless the sampler is a distributed one already.
        sampler = UnrepeatedDistributedSampler(batches, num_replicas=processes, rank=rank, shuffle=False)
        return DataLoader(batches, batch_size=None, sampler=sampler, num_workers=self.num_workers)

    def _world(self) -> tuple[int, int]:
        """Number of processes and the rank of this one."""
        return (1, 0) if self.trainer is None else (self.trainer.world_size, self.trainer.global_rank)


class _Shard(ImageSet):
    """Some batches of an image set, which follow each other."""

    def __init__(self, images: ImageSet, shard: str, batch_size: int) -> None:
        self._whole = images
        self._places = places_of(shard, len(images), batch_size)
        if not self._places:
            batches = ceil(len(images) / batch_size)
            raise InvalidValueError(
                f"The shard {shard} has no images: {len(images)} images in batches of {batch_size} are {batches} "
                f"batches. Take at most {batches} shards, or smaller batches (--data.batch_size)."
            )
        self.shape, self.truth, self.classes = images.shape, images.truth, images.classes

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Item:
        return self._whole[self._places[index]]

    @property
    def names(self) -> Sequence[str]:
        names = self._whole.names
        return [names[place] for place in self._places]

    @property
    def every_name(self) -> Sequence[str]:
        return self._whole.every_name

    def require_labels(self, num_classes: int) -> None:
        self._whole.require_labels(num_classes)


def data_of(trainer: lightning.Trainer) -> ImageData | None:
    """The data of a trainer, where they are an `ImageData`."""
    data = trainer.datamodule  # type: ignore[attr-defined] # set by Lightning out of mypy's sight
    return data if isinstance(data, ImageData) else None


class _Batches(Dataset[Batch]):
    """The batches of an image set. One batch is one entry, so that it can be dealt, and read ahead, as a whole."""

    def __init__(self, images: ImageSet, batch_size: int) -> None:
        self.images = images
        self.batch_size = batch_size

    def __len__(self) -> int:
        return ceil(len(self.images) / self.batch_size)

    def __getitem__(self, index: int) -> Batch:
        first = index * self.batch_size
        last = min(first + self.batch_size, len(self.images))
        batch: Batch = default_collate([self.images[position] for position in range(first, last)])
        return batch


def _require_work(num_images: int, batch_size: int, processes: int) -> None:
    # A process without a batch would miss the collective calls at the end of a run, and the others wait for it.
    if num_images < processes:
        raise InvalidValueError(
            f"Every process needs an image, but got {processes} processes and num_images={num_images}; use at most "
            f"{num_images} (--trainer.devices, --trainer.num_nodes) or more images (--data.num_images)."
        )
    batches = ceil(num_images / batch_size)
    if batches < processes:
        largest = (num_images - 1) // (processes - 1)
        raise InvalidValueError(
            f"Every process needs a batch, but {processes} processes share num_images={num_images} with "
            f"batch_size={batch_size}, {batches} in all; set --data.batch_size={largest} or less, or use at most "
            f"{batches} processes (--trainer.devices, --trainer.num_nodes)."
        )
