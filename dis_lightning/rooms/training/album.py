"""Many rooms as arrays: rendered once, kept in a folder, mapped into memory."""

import tempfile
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dis_lightning.errors import InvalidValueError
from dis_lightning.progress import counted
from dis_lightning.rooms.captions import ANSWERS, facts
from dis_lightning.rooms.world import draw_scene, render_room

__all__ = ["Album", "album"]

FINGERPRINT_ROOMS = 8


class Album(NamedTuple):
    """Rooms 0 .. N - 1 of a split, all uint8, mapped read-only from disk."""

    images: NDArray[np.uint8]
    """Pictures, `(N, 3, H, W)`."""
    segmentation: NDArray[np.uint8]
    """Class of each pixel, `(N, H, W)`, an index into `SEGMENTATION_CLASSES`."""
    layout: NDArray[np.uint8]
    """Surface of the empty room behind each pixel, `(N, H, W)`, an index into `LAYOUT_CLASSES`."""
    labels: NDArray[np.uint8]
    """Class of each room, `(N,)`, an index into `ROOM_CLASSES`."""
    facts: NDArray[np.uint8]
    """What the caption of each room says, `(N, 6)`, as `captions.Facts`."""


def album(split: str, num_images: int, size: int = 32, seed: int = 0, folder: Path | None = None) -> Album:
    """Render rooms, or map them into memory where an earlier call rendered them.

    About 500 rooms of 32 pixels per second and core.

    Args:
        split: which rooms, see `render_room`.
        num_images: number of rooms, N >= 1.
        size: side of the pictures in pixels.
        seed: number of the world.
        folder: where rendered rooms are kept; by default a folder of the system's temporary files.

    Returns:
        The rooms.

    Raises:
        ValueError: if an argument is out of range.
    """
    if num_images < 1:
        raise InvalidValueError(f"An album needs num_images >= 1, but got {num_images}.")
    root = folder or Path(tempfile.gettempdir()) / "dis_lightning_rooms"
    # The fingerprint tells the rooms of another version of the renderer apart.
    fingerprint = sha256(b"".join(render_room(split, i, size, seed).image.tobytes() for i in range(FINGERPRINT_ROOMS)))
    target = root / f"{seed}-{split}-{size}-{num_images}-{fingerprint.hexdigest()[:12]}"
    if not target.is_dir():
        _keep(_rendered(split, num_images, size, seed), target)
    if not (target / "facts.npy").exists():  # an album of the time before captions
        _add(_known(split, num_images, seed), target / "facts.npy")
    return Album(*(np.load(target / f"{name}.npy", mmap_mode="r") for name in Album._fields))


def _rendered(split: str, num_images: int, size: int, seed: int) -> Album:
    pages = Album(
        images=np.empty((num_images, 3, size, size), np.uint8),
        segmentation=np.empty((num_images, size, size), np.uint8),
        layout=np.empty((num_images, size, size), np.uint8),
        labels=np.empty(num_images, np.uint8),
        facts=_known(split, num_images, seed),
    )
    for index in counted(range(num_images), "Rendering rooms"):
        room = render_room(split, index, size, seed)
        pages.images[index] = room.image.transpose(2, 0, 1)
        pages.segmentation[index], pages.layout[index] = room.segmentation, room.layout
        pages.labels[index] = room.label
    return pages


def _known(split: str, num_images: int, seed: int) -> NDArray[np.uint8]:
    known = np.empty((num_images, len(ANSWERS)), np.uint8)
    for index in counted(range(num_images), "Drawing rooms"):
        known[index] = facts(draw_scene(split, index, seed))
    return known


def _add(page: NDArray[np.uint8], target: Path) -> None:
    """Write one page so that it appears whole or not at all, whoever else writes it at the same time."""
    with tempfile.TemporaryDirectory(dir=target.parent) as draft:
        np.save(Path(draft) / "page.npy", page)
        (Path(draft) / "page.npy").replace(target)


def _keep(pages: Album, target: Path) -> None:
    """Write an album so that it appears whole or not at all, whoever else writes it at the same time."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as draft:
        pile = Path(draft) / "album"
        pile.mkdir()
        for name, array in pages._asdict().items():
            np.save(pile / f"{name}.npy", array)
        if not target.is_dir():
            pile.rename(target)
