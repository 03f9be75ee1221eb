"""Files of pictures: where a user keeps them, and the picture that one holds.

A folder is taken as people leave it. Hidden files and folders (the name starts with a dot, as `.ipynb_checkpoints`) are
passed over, and so are files that say by their names that they are no pictures (`labels.csv`, `README.md`, `LICENSE`),
pipes, sockets and devices, of which one cannot see whether they will ever give anything.
Links are followed, but not to a folder that they lie in, and no file counts twice.
"""

import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from dis_lightning.errors import InvalidValueError, MissingPackageError, UnusablePathError

__all__ = ["find_files", "is_above", "listed", "may_be_picture", "open_picture"]

NO_PICTURE = re.compile(
    r"""authors | changelog | copying | license | makefile | notice | readme
    | .*\.( 7z | aae | bib | bz2 | cfg | csv | db | docx? | gz | html? | ini | ipynb | js | jsonl? | lmdb | log | mat
      | md | mdb | mov | mp4 | np[yz] | parquet | pdf | pickle | pkl | pth? | py | rar | rst | safetensors | sh | tar
      | tex | tgz | toml | tsv | txt | url | wav | xlsx? | xml | xmp | xz | ya?ml | zip )""",
    re.IGNORECASE | re.VERBOSE,
)
"""Names of what lies beside pictures and is none."""

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture upright, by the orientation that its EXIF tells."""

HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
AVIF = (b"avif", b"avis")
"""Brands by which files of the ISO family say what they hold."""


def find_files(folder: Path, also: tuple[str, ...] = (), *, by_name: bool = False) -> list[str]:
    """All files below a folder that may be pictures, as POSIX paths relative to it, sorted code point by code point.

    So `10.png` comes before `2.png`. A file that several ways lead to has the name with the fewest links, and of those
    the first.

    Args:
        folder: where to look.
        also: endings of files that are wanted beside pictures.
        by_name: whether a file counts under each of its names, as one mask of several images.

    Raises:
        OSError: if a folder cannot be read.
    """
    found, seen = list[str](), set[str]()
    waiting = [(0, "", os.path.realpath(folder))]
    while waiting:
        links, name, place = heappop(waiting)
        if place in seen and not (by_name and os.path.isfile(place)):
            continue
        seen.add(place)
        if name and not os.path.isdir(place):
            wanted = may_be_picture(name) or name.endswith(also)
            if wanted and (os.path.isfile(place) or not os.path.exists(place)):  # a link to nothing is told of later
                found.append(name)
            continue
        for entry in listed(place):
            linked = entry.is_symlink()
            target = os.path.realpath(entry.path) if linked else entry.path
            if not entry.name.startswith(".") and not (linked and is_above(target, place)):
                heappush(waiting, (links + linked, f"{name}/{entry.name}".lstrip("/"), target))
    return sorted(found)


def may_be_picture(name: str) -> bool:
    """Whether a file's name does not say that it is something else."""
    return not NO_PICTURE.fullmatch(PurePosixPath(name).name)


def is_above(folder: str | Path, place: str | Path) -> bool:
    """Whether a place lies in a folder, or is that folder itself; both are followed to where they really are."""
    above, below = os.path.realpath(folder), os.path.realpath(place)
    return os.path.commonpath((above, below)) == above


def listed(folder: str | Path) -> list[os.DirEntry[str]]:
    """What lies in a folder, in no order, hidden entries too.

    Raises:
        OSError: if it cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise UnusablePathError(
            f"The folder {folder} cannot be read: {error.strerror}; get the right to read it, or name another."
        ) from error


def open_picture(stream: BinaryIO) -> Image.Image:
    """Read the first picture of a file, turned upright, with 8 bit a channel (or 1).

    The format is found from the bytes; names and endings do not matter. 16-bit greyscale becomes `round(v / 257)`,
    which maps 65535 to 255; of 16-bit colour Pillow reads the upper 8 bits. What EXIF says beside the orientation does
    not matter either, sound or not.

    Raises:
        Exception: if the bytes are not a whole picture; Pillow's formats raise errors of many kinds.
        ValueError: if the values are real numbers or beyond 16 bit, whose range nobody can know.
        ModuleNotFoundError: if the format needs a plug-in that is not installed.
    """
    image: Image.Image
    with _quietly():
        try:
            image = Image.open(stream)
        except UnidentifiedImageError:
            image = _by_plugin(stream)
        try:
            method = UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
        except Exception:  # A damaged tag fails in any way it likes, and no pixel depends on it.
            method = None
    image.load()
    if image.mode == "F" or image.mode.startswith("I"):
        image = _eight_bit(image)
    return image.copy() if method is None else image.transpose(method)


# The filters of warnings belong to the whole process; threads take turns.
_turn = threading.Lock()


@contextmanager
def _quietly() -> Iterator[None]:
    """Without Pillow's warnings of tags that it cannot read."""
    with _turn, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _by_plugin(stream: BinaryIO) -> Image.Image:
    stream.seek(0)
    head = stream.read(12)
    brand = head[8:] if head[4:8] == b"ftyp" else b""
    if brand in AVIF:
        raise MissingPackageError("AVIF is read by Pillow 11.3 or newer: pip install --upgrade pillow")
    if brand not in HEIF:
        raise InvalidValueError("it is no picture of a format that Pillow knows")
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise MissingPackageError("HEIC is read by a plug-in: pip install 'dis-lightning[heic]'") from None
    register_heif_opener()
    stream.seek(0)
    return Image.open(stream)


def _eight_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
        raise InvalidValueError(f"its values are {values.dtype} from {values.min()} to {values.max()}, not 8 or 16 bit")
    return Image.fromarray(((values.astype(np.int64) + 128) // 257).astype(np.uint8))
