"""LSUN as it is published: one LMDB per category and split, whose values are encoded pictures."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import lmdb

from dis_lightning.data.base import ImageSet
from dis_lightning.data.stored import StoredData, StoredImage, require_folder
from dis_lightning.errors import InvalidValueError, MissingFileError

__all__ = ["LSUNData"]


class LSUNData(StoredData):
    """The first images of an LSUN database, in the order of its keys.

    Values may be JPEG, WebP or any other format that Pillow knows. The keys are hashes, so the first images are a
    haphazard choice, and the same for everybody.

    Args:
        root: the unpacked folder, such as `bedroom_val_lmdb`, which holds `data.mdb`.
        num_images: number of images, >= 1; None takes all.
        transform: what makes the images one size; None takes them as they are. The published pictures have a shorter
            side of 256 pixels.
        batch_size: images per batch, >= 1.
        num_workers: processes that read images ahead, for each process that samples.
        channels: 3 for RGB, 1 for grey, of which colour becomes 0.299 R + 0.587 G + 0.114 B (ITU-R 601-2).
        names: a text file of the images to take, in this order, or the name of a list that ships, such as
            "imagenet_1k_dgp"; None takes them as they are found.
        skip: how many are left out at the beginning, >= 0.
        shard: the part of the images to take, "i/n" with i in 0 .. n - 1, in whole batches; None takes all.

    Raises:
        ValueError: if an argument is out of range.
    """

    def find(self) -> ImageSet:
        """See `ImageData.find`."""
        root = require_folder(self.root)
        if not (root / "data.mdb").is_file():
            raise MissingFileError(
                f"{root} holds no data.mdb; set --data.root to an unpacked LSUN database, such as bedroom_val_lmdb."
            )
        with _reading(root) as transaction:
            # All keys only where they are needed: LSUN's categories have millions.
            first = None if self.names or self.skip or self.num_images is None else self.num_images
            keys = [bytes(key) for key in islice(transaction.cursor().iternext(values=False), first)]
        return self.choose([_Entry(root, key, _name(key)) for key in keys], root)


@dataclass(frozen=True)
class _Entry(StoredImage):
    """One value of a database."""

    root: Path
    key: bytes
    name: str
    label: int | None = None

    def open(self) -> BinaryIO:
        with _reading(self.root) as transaction:
            return BytesIO(transaction.get(self.key, b""))

    def __str__(self) -> str:
        return f"{self.root}, key {self.name},"


def _name(key: bytes) -> str:
    return key.decode(errors="backslashreplace")


# LMDB refuses to open a database twice in one process; threads take turns.
_turn = threading.Lock()


@contextmanager
def _reading(root: Path) -> Iterator[lmdb.Transaction]:
    # Opened for every image (about 0.1 ms): nothing has to survive a fork or be sent to a worker.
    with _turn:
        try:
            with lmdb.open(str(root), readonly=True, lock=False, readahead=False) as environment:
                _require_whole(environment, root / "data.mdb")
                with environment.begin() as transaction:
                    yield transaction
        except lmdb.Error as error:
            raise InvalidValueError(
                f"{root} cannot be read as an LMDB: {error}. Unpack it again; where this process has it open, close it."
            ) from error


def _require_whole(environment: lmdb.Environment, file: Path) -> None:
    # LMDB maps the file into memory: a read beyond its end would kill the process without a word.
    needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    if (found := file.stat().st_size) < needed:
        raise InvalidValueError(
            f"{file} seems cut off: it has {found} bytes of {needed}; copy or unpack it again. A whole database that "
            "images were deleted from can look like this too; rewrite it by `python -m lmdb -e OLD copy --compact NEW`."
        )
