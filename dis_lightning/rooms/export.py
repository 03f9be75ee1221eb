"""Rooms as files: a folder of PNG with its labels, or an LMDB laid out as LSUN was published."""

import csv
from hashlib import sha1
from io import BytesIO
from pathlib import Path
from typing import Literal

import lmdb
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dis_lightning.errors import InvalidValueError, UnusablePathError, require_whole
from dis_lightning.files import expanded
from dis_lightning.rooms.world import ROOM_CLASSES, Room, render_room, room_key

__all__ = ["write_folder", "write_lmdb"]

SEGMENTATION_COLOURS = (
    (214, 205, 190),  # wall
    (140, 104, 72),  # floor
    (242, 242, 242),  # ceiling
    (196, 50, 60),  # bed
    (92, 178, 232),  # window
    (250, 208, 70),  # lamp
    (122, 74, 160),  # picture
    (60, 140, 90),  # rug
)
LAYOUT_COLOURS = ((86, 180, 233), (230, 159, 0), (0, 158, 115), (213, 94, 0), (240, 228, 66))


def write_folder(folder: Path, num_images: int, split: str = "test", size: int = 64, seed: int = 0) -> None:
    """Write rooms 0 .. `num_images` - 1 of a split as pictures with their labels.

    `folder/images/00000.png` and on are RGB; `folder/segmentation/` and `folder/layout/` hold the same names as PNG
    with a palette, whose pixel values are the classes; `folder/captions.csv` has the columns index, label, class and
    caption.

    Args:
        folder: where to write; made if missing, and must be empty.
        num_images: how many rooms, >= 1.
        split: see `render_room`.
        size: height and width in pixels.
        seed: see `render_room`.

    Raises:
        FileExistsError: if the folder is not empty.
        ValueError: if an argument is out of range.
    """
    folder = expanded(folder)
    first = _checked(folder, num_images, split, size, seed)
    for name in ("images", "segmentation", "layout"):
        (folder / name).mkdir(parents=True)
    with (folder / "captions.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("index", "label", "class", "caption"))
        for index in range(num_images):
            room = render_room(split, index, size, seed) if index else first
            name = f"{index:05d}.png"
            Image.fromarray(room.image).save(folder / "images" / name)
            _indexed(room.segmentation, SEGMENTATION_COLOURS).save(folder / "segmentation" / name)
            _indexed(room.layout, LAYOUT_COLOURS).save(folder / "layout" / name)
            table.writerow((index, room.label, ROOM_CLASSES[room.label], room.caption))


def write_lmdb(
    folder: Path,
    num_images: int,
    split: str = "test",
    size: int = 64,
    seed: int = 0,
    image_format: Literal["webp", "jpeg"] = "webp",
) -> None:
    """Write rooms 0 .. `num_images` - 1 of a split as an LMDB in the layout of LSUN.

    Keys are 40 hexadecimal digits, the SHA-1 of the room's key `"{seed}/{split}/{index}"`, so their order is not the
    order of the indices, as in LSUN; values are encoded images. For `torchvision.datasets.LSUN` name the folder
    `bedroom_val_lmdb`.

    Args:
        folder: the LMDB's directory; made if missing, and must be empty.
        num_images: how many rooms, >= 1.
        split: see `render_room`.
        size: height and width in pixels.
        seed: see `render_room`.
        image_format: "webp" is lossless, "jpeg" has quality 95.

    Raises:
        FileExistsError: if the folder is not empty.
        ValueError: if an argument is out of range.
    """
    if image_format not in ("webp", "jpeg"):
        raise InvalidValueError(f'write_lmdb needs image_format "webp" or "jpeg", but got {image_format!r}.')
    folder = expanded(folder)
    first = _checked(folder, num_images, split, size, seed)
    folder.mkdir(parents=True, exist_ok=True)
    room_for = num_images * (3 * size**2 + 8192) + 2**24  # raw pixels, a page's rest and headers bound each value
    with lmdb.open(str(folder), map_size=room_for) as environment, environment.begin(write=True) as transaction:
        for index in range(num_images):
            room = render_room(split, index, size, seed) if index else first
            key = sha1(room_key(split, index, seed).encode()).hexdigest()
            transaction.put(key.encode(), _encoded(room.image, image_format))


def _checked(folder: Path, num_images: int, split: str, size: int, seed: int) -> Room:
    """The first room, once target and arguments are found good, so that nothing is left behind by bad ones."""
    require_whole("An export", 1, num_images=num_images)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UnusablePathError(f"{folder} exists and is not an empty folder; name a new one or empty it first.")
    return render_room(split, 0, size, seed)


def _indexed(classes: NDArray[np.uint8], colours: tuple[tuple[int, int, int], ...]) -> Image.Image:
    """A picture whose pixel values are the classes, shown in the given colours."""
    picture = Image.fromarray(classes)
    picture.putpalette([channel for colour in colours for channel in colour])
    return picture


def _encoded(image: NDArray[np.uint8], image_format: Literal["webp", "jpeg"]) -> bytes:
    buffer = BytesIO()
    if image_format == "webp":
        Image.fromarray(image).save(buffer, "WEBP", lossless=True)
    else:
        Image.fromarray(image).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()
