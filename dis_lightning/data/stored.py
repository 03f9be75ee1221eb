"""Images that lie on a disk: where each one is, and the check that all of them can be used.

Only places are kept in memory. Every image is decoded once before the first is used, so that a broken file ends a run
before it has cost anything.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from PIL import Image

from dis_lightning.data.base import ImageData, ImageSet, Item
from dis_lightning.data.decoding import decode, to_tensor
from dis_lightning.data.lists import ImageList
from dis_lightning.data.transforms import ImageTransform
from dis_lightning.errors import (
    InvalidTypeError,
    InvalidValueError,
    MissingFileError,
    MissingPackageError,
    UnusablePathError,
    UserError,
    require_whole,
)
from dis_lightning.files import expanded

__all__ = ["Channels", "ImageFile", "StoredData", "StoredImage", "StoredImages", "require_folder", "require_images"]

Channels = Literal[3, 1]
"""Colour (RGB), or grey."""

NAMED = 3
"""How many damaged images a message names."""


class StoredImage(ABC):
    """The place of one encoded image. As a string it is what an error message calls it."""

    name: str
    """What people call the image."""
    label: int | None
    """Class, where known."""

    @abstractmethod
    def open(self) -> BinaryIO:
        """Open the encoded bytes for reading."""


@dataclass(frozen=True)
class ImageFile(StoredImage):
    """An image file.

    Args:
        path: where it lies.
        name: what people call it.
        label: its class, where known.
    """

    path: Path
    name: str
    label: int | None = None

    def open(self) -> BinaryIO:
        """See `StoredImage.open`."""
        return self.path.open("rb")

    def __str__(self) -> str:
        return str(self.path)


class StoredData(ImageData, ABC):
    """The first images below a root on a disk.

    Args:
        root: where they lie.
        num_images: number of images, >= 1; None takes all.
        transform: what makes the images one size; None takes them as they are.
        batch_size: images per batch, >= 1.
        num_workers: processes that read images ahead, for each process that samples.
        channels: 3 for RGB, 1 for grey, of which colour becomes 0.299 R + 0.587 G + 0.114 B (ITU-R 601-2).
        names: a text file of the images to take, in this order, or the name of a list that ships with the package; see
            `dis_lightning.data.lists`. None takes them as they are found.
        skip: how many are left out at the beginning, >= 0.
        shard: the part of the images to take, "i/n" with i in 0 .. n - 1, in whole batches; None takes all.

    Raises:
        TypeError: if there is no root.
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        root: str | Path,
        num_images: int | None = 1000,
        transform: ImageTransform | None = None,
        batch_size: int = 1,
        num_workers: int = 0,
        channels: Channels = 3,
        names: str | Path | None = None,
        skip: int = 0,
        shard: str | None = None,
    ) -> None:
        super().__init__(num_images, batch_size, num_workers, shard)
        require_whole(self, 0, skip=skip)
        if not isinstance(root, str | Path):
            raise InvalidTypeError(f"{type(self).__name__} needs a path as root, but got root={root}.")
        self.root = root
        self.transform = transform
        self.channels = channels
        self.names = names
        self.skip = skip
        if channels not in (3, 1):
            raise InvalidValueError(f"{type(self).__name__} needs channels 3 or 1, but got channels={channels}.")

    def choose(
        self, found: Sequence[StoredImage], root: Path, classes: tuple[str, ...] | None = None
    ) -> "StoredImages":
        """The images to take of those that were found, by `names`, `skip` and `num_images`.

        Args:
            found: where the images are, in order.
            root: where they lie, for messages.
            classes: names of the classes that their labels count, where they are known.

        Raises:
            FileNotFoundError: if there are none, or a name of the list is not among them.
            ValueError: if there are too few, or one is another than the list says.
        """
        listed = None if self.names is None else ImageList.read(self.names)
        if listed is None:
            left, needed = found[self.skip :], self.num_images
            if found and self.skip and not left:
                raise InvalidValueError(
                    f"{root} holds {len(found)} images, and skip={self.skip} leaves none: lower it."
                )
        else:
            # Of a list all are taken, if num_images does not take fewer.
            left, needed = listed.choose({one.name: one for one in found}, root)[self.skip :], None
        require_images(len(left), needed, root)
        chosen = left[: self.num_images]
        if listed is not None:
            listed.check(chosen)
        return StoredImages(chosen, self.transform, self.channels, classes)


class StoredImages(ImageSet):
    """Stored images of one size.

    Args:
        stored: where they are, in order, one at least.
        transform: what makes them one size; None takes them as they are.
        channels: 3 for RGB, 1 for grey.
        classes: names of the classes that their labels count, where they are known.

    Raises:
        ValueError: if any cannot be read, the first of which are named, or if their sizes differ.
        ModuleNotFoundError: if it takes a plug-in to read them.
    """

    def __init__(
        self,
        stored: Sequence[StoredImage],
        transform: ImageTransform | None = None,
        channels: Channels = 3,
        classes: tuple[str, ...] | None = None,
    ) -> None:
        self._stored = stored
        self._transform = transform
        self._mode = "RGB" if channels == 3 else "L"
        self.classes = classes
        width, height = self._size()
        self.shape = (channels, height, width)

    def __len__(self) -> int:
        """Number of images."""
        return len(self._stored)

    def __getitem__(self, index: int) -> Item:
        """See `ImageSet`."""
        stored = self._stored[index]
        item: Item = {"image": to_tensor(np.array(self._load(stored))), "index": index, "name": stored.name}
        if stored.label is not None:
            item["label"] = stored.label
        return item

    @property
    def names(self) -> list[str]:
        """See `ImageSet`."""
        return [stored.name for stored in self._stored]

    def require_labels(self, num_classes: int) -> None:
        """See `ImageSet`; also refuses labels beyond the prior's."""
        super().require_labels(num_classes)
        for stored in self._stored:
            if stored.label is not None and stored.label >= num_classes:
                raise InvalidValueError(
                    f"{stored} has the label {stored.label}, but the prior's classes are 0 .. {num_classes - 1}; give "
                    "the image another, or take a prior that knows its class."
                )

    def _load(self, stored: StoredImage) -> Image.Image:
        try:
            with stored.open() as stream:
                image = decode(stream)
        except MissingPackageError as error:
            raise MissingPackageError(f"{stored} cannot be read as an image: {error}") from error
        except Exception as error:  # Pillow's formats raise errors of many kinds.
            raise InvalidValueError(
                f"{stored} cannot be read as an image: {error}. Repair, remove or hide it (a name that starts with a "
                "dot)."
            ) from error
        return (image if self._transform is None else self._transform(image)).convert(self._mode)

    def _size(self) -> tuple[int, int]:
        """Decode every image, and give the size of all."""
        with ThreadPoolExecutor() as pool:
            found = dict(zip(self._stored, pool.map(self._size_or_error, self._stored), strict=True))
        _require_whole({stored: what for stored, what in found.items() if isinstance(what, UserError)}, len(found))
        sizes = {stored: what for stored, what in found.items() if not isinstance(what, UserError)}
        first, size = next(iter(sizes.items()))
        for stored, other in sizes.items():
            if other != size:
                raise InvalidValueError(
                    f"All images must have one size, but {first} is {_times(size)} and {stored} is {_times(other)}; "
                    "set --data.transform, for example to ShorterSideBilinear."
                )
        return size

    def _size_or_error(self, stored: StoredImage) -> tuple[int, int] | UserError:
        try:
            return self._load(stored).size
        except UserError as error:
            return error


def require_folder(root: str | Path, option: str = "--data.root") -> Path:
    """The folder at `root`, with a leading `~` replaced.

    Args:
        root: where it should be.
        option: what the user sets to name it, for messages.

    Raises:
        ValueError: if the path is blank, which would be the current folder.
        FileNotFoundError: if nothing is there.
        OSError: if it is a file, or the way to it is closed.
    """
    if not os.path.expandvars(root).strip():
        raise InvalidValueError(f"A folder of images is needed, but got {str(root)!r}; set {option} to its path.")
    folder = expanded(root)
    try:
        folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise MissingFileError(f"{folder} does not exist; set {option} to the folder of the images.") from None
    except OSError as error:
        raise UnusablePathError(f"{folder} cannot be read: {error.strerror}; set {option} to another.") from error
    if not folder.is_dir():
        raise UnusablePathError(f"{folder} is a file; set {option} to the folder of the images.")
    return folder


def require_images(
    found: int, needed: int | None, root: Path, option: str = "--data.root", what: str = "images"
) -> None:
    """Check that a data set has enough images.

    Args:
        found: how many there are.
        needed: how many there must be; None is content with one.
        root: where they lie.
        option: what the user sets to name it, for messages.
        what: what is counted, likewise.

    Raises:
        FileNotFoundError: if there are none.
        ValueError: if there are fewer than needed.
    """
    if found == 0:
        raise MissingFileError(f"{root} holds no {what}; set {option} to a folder that does.")
    if needed is not None and found < needed:
        raise InvalidValueError(
            f"{root} holds too few {what}, {found}, but num_images is {needed}; set --data.num_images={found}, or "
            "null for all."
        )


def _require_whole(damaged: dict[StoredImage, UserError], images: int) -> None:
    """Refuse images that cannot be read, all at once."""
    errors = list(damaged.values())
    if len(errors) == 1:
        raise errors[0]
    if errors:
        named = "; ".join(f"{stored}: {error.__cause__}" for stored, error in islice(damaged.items(), NAMED))
        more = f"; and {len(errors) - NAMED} more" if len(errors) > NAMED else ""
        told = f"{len(errors)} of {images} images cannot be read: {named}{more}"
        if all(isinstance(error, MissingPackageError) for error in errors):
            raise MissingPackageError(told)
        raise InvalidValueError(f"{told}. Repair, remove or hide them (a name that starts with a dot).")


def _times(size: tuple[int, int]) -> str:
    width, height = size
    return f"{width} x {height}"
