"""Images that lie on a disk: where each one is, and the check that all of them can be used.

Only places are kept in memory. Every image is decoded once before the first is used, so that a broken file ends a run
before it has cost anything.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np
from PIL import Image

from dis_lightning.data.base import ImageData, ImageSet, Item
from dis_lightning.data.decoding import decode, to_tensor
from dis_lightning.data.transforms import ImageTransform
from dis_lightning.errors import InvalidValueError, MissingFileError, UnusablePathError

__all__ = ["ImageFile", "StoredData", "StoredImage", "StoredImages", "find_files", "require_folder", "require_images"]


class StoredData(ImageData, ABC):
    """The first images below a root on a disk.

    Args:
        root: where they lie.
        num_images: number of images, >= 1.
        transform: what makes the images one size; None takes them as they are.
        batch_size: images per batch, >= 1.
        num_workers: processes that read images ahead, for each process that samples.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        root: str | Path,
        num_images: int = 1000,
        transform: ImageTransform | None = None,
        batch_size: int = 1,
        num_workers: int = 0,
    ) -> None:
        super().__init__(num_images, batch_size, num_workers)
        self.root = root
        self.transform = transform


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


class StoredImages(ImageSet):
    """Stored images of one size.

    Args:
        stored: where they are, in order, one at least.
        transform: what makes them one size; None takes them as they are.

    Raises:
        ValueError: if one cannot be read, or if their sizes differ.
    """

    def __init__(self, stored: Sequence[StoredImage], transform: ImageTransform | None) -> None:
        self._stored = stored
        self._transform = transform
        width, height = self._size()
        self.shape = (3, height, width)

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

    def _load(self, stored: StoredImage) -> Image.Image:
        try:
            with stored.open() as stream:
                image = decode(stream)
        except Exception as error:  # Pillow's formats raise errors of many kinds.
            raise InvalidValueError(
                f"{stored} cannot be read as an image: {error}. Repair, remove or hide it (a name that starts with a "
                "dot); every visible file must be an image."
            ) from error
        return image if self._transform is None else self._transform(image)

    def _size(self) -> tuple[int, int]:
        with ThreadPoolExecutor() as pool:
            sizes = list(pool.map(lambda stored: self._load(stored).size, self._stored))
        for stored, size in zip(self._stored, sizes, strict=True):
            if size != sizes[0]:
                raise InvalidValueError(
                    f"All images must have one size, but {self._stored[0]} is {_times(sizes[0])} and {stored} is "
                    f"{_times(size)}; set --data.transform, for example to ShorterSideBilinear."
                )
        return sizes[0]


def find_files(folder: Path) -> list[str]:
    """All files below a folder, as POSIX paths relative to it, sorted as strings, code point by code point.

    So `10.png` comes before `2.png`. Links are followed; files and folders whose names start with a dot are passed
    over.

    Raises:
        OSError: if a folder cannot be read.
    """
    found = []
    for place, folders, files in os.walk(folder, onerror=_raise, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(place).relative_to(folder)
        found += [(below / name).as_posix() for name in files if not name.startswith(".")]
    return sorted(found)


def require_folder(root: str | Path) -> Path:
    """The folder at `root`, with a leading `~` replaced.

    Raises:
        FileNotFoundError: if nothing is there.
        NotADirectoryError: if it is a file.
    """
    folder = Path(root).expanduser()
    if not folder.exists():
        raise MissingFileError(f"{folder} does not exist; set --data.root to the folder of the data set.")
    if not folder.is_dir():
        raise UnusablePathError(f"{folder} is a file; set --data.root to the folder of the data set.")
    return folder


def require_images(found: int, needed: int, root: Path) -> None:
    """Check that a data set has enough images.

    Raises:
        FileNotFoundError: if there are none.
        ValueError: if there are fewer than needed.
    """
    if found == 0:
        raise MissingFileError(f"{root} holds no images; set --data.root to a folder that does.")
    if found < needed:
        raise InvalidValueError(
            f"{root} holds too few images, {found}, but num_images is {needed}; set --data.num_images={found}."
        )


def _raise(error: OSError) -> NoReturn:
    # os.walk passes over folders that it cannot read unless it is told what to do.
    raise error


def _times(size: tuple[int, int]) -> str:
    width, height = size
    return f"{width} x {height}"
