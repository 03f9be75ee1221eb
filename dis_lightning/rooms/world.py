"""The rooms world: endless labelled bedrooms, each a pure function of its seed, split and index.

The key `"{seed}/{split}/{index}"` names a room. Its SHA-256 seeds the random stream the scene is drawn from, so every
split of every seed has the same distribution, rooms are independent, and none depends on the picture's size.
"""

from hashlib import sha256
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dis_lightning.errors import InvalidValueError
from dis_lightning.rooms.colours import BED_PAINTS
from dis_lightning.rooms.furnish import furnish
from dis_lightning.rooms.render import render
from dis_lightning.rooms.scene import WALL_NAMES, Scene
from dis_lightning.rooms.surfaces import SurfaceKind
from dis_lightning.spelling import nearest

__all__ = ["LAYOUT_CLASSES", "ROOM_CLASSES", "SEGMENTATION_CLASSES", "SMALLEST_ROOM", "SPLITS", "Room"]
__all__ += ["caption_of", "draw_scene", "render_room", "require_split", "room_key"]

SEGMENTATION_CLASSES = tuple(kind.name.lower() for kind in SurfaceKind)
"""Names of the values of `Room.segmentation`."""

LAYOUT_CLASSES = ("frontal", "left", "right", "floor", "ceiling")
"""Names of the values of `Room.layout`."""

ROOM_CLASSES = tuple(f"{paint.name} bed" for paint in BED_PAINTS)
"""Names of the values of `Room.label`, all equally likely."""

SMALLEST_ROOM = 8
"""Least side of a picture in pixels; below, nothing can be recognised."""

SPLITS = ("train", "val", "tune", "test", "reference")
"""To train on, to watch a training by, to choose step sizes by, to report on, and to measure distances of sets to."""


class Room(NamedTuple):
    """A bedroom and what is known of it.

    Attributes:
        image: RGB picture, uint8 `(size, size, 3)`.
        segmentation: what each pixel shows, uint8 `(size, size)`, an index into `SEGMENTATION_CLASSES`.
        layout: surface of the empty room behind each pixel, uint8 `(size, size)`, an index into `LAYOUT_CLASSES`.
        caption: the visible facts in words.
        label: index into `ROOM_CLASSES`.
    """

    image: NDArray[np.uint8]
    segmentation: NDArray[np.uint8]
    layout: NDArray[np.uint8]
    caption: str
    label: int


def render_room(split: str, index: int, size: int = 32, seed: int = 0) -> Room:
    """Render one room.

    Args:
        split: one of `SPLITS`.
        index: number of the room, >= 0.
        size: height and width in pixels, >= 8. The room is the same at every size.
        seed: number of the world, >= 0.

    Returns:
        the room.

    Raises:
        ValueError: if an argument is out of range.
    """
    if size < SMALLEST_ROOM:
        raise InvalidValueError(f"A room needs size >= {SMALLEST_ROOM} pixels to be recognised, but got size={size}.")
    require_split(split)
    scene = draw_scene(split, index, seed)
    return Room(*render(scene, size), caption=caption_of(scene), label=scene.bed.paint)


def require_split(split: str) -> None:
    """Refuse a split that is none of `SPLITS`: any other word names a world of its own, a mistyped one too.

    Raises:
        ValueError: if it is none.
    """
    if split not in SPLITS:
        meant = nearest(str(split), SPLITS)
        raise InvalidValueError(
            f"A room needs a split, one of {', '.join(SPLITS)}, but got {split!r}. {meant}".rstrip()
        )


def draw_scene(split: str, index: int, seed: int = 0) -> Scene:
    """The geometry and colours of a room; arguments and errors as for `render_room`, but any split."""
    digest = sha256(room_key(split, index, seed).encode()).digest()
    return furnish(np.random.default_rng(int.from_bytes(digest, "little")))


def room_key(split: str, index: int, seed: int = 0) -> str:
    """The name of a room, `"{seed}/{split}/{index}"`; arguments and errors as for `render_room`."""
    if index < 0 or seed < 0:
        raise InvalidValueError(f"A room needs index >= 0 and seed >= 0, but got index={index} and seed={seed}.")
    return f"{seed}/{split}/{index}"


def caption_of(scene: Scene) -> str:
    """A caption such as "a bedroom at night with green walls, a red bed, a window on the left wall and a blue rug"."""
    facts = [f"{scene.shell.wall_name} walls", f"a {BED_PAINTS[scene.bed.paint].name} bed"]
    if scene.window:
        facts.append(f"a window on the {WALL_NAMES[scene.window.panel.wall]} wall")
    if scene.picture:
        facts.append(f"a picture on the {WALL_NAMES[scene.picture.panel.wall]} wall")
    if scene.lamp:
        facts.append("a hanging lamp" if scene.lamp.hanging else "a standing lamp")
    if scene.rug:
        article = "an" if scene.rug.name[0] in "aeiou" else "a"
        facts.append(f"{article} {scene.rug.name} rug")
    time = scene.window.outside.phrase if scene.window else ""
    return f"a bedroom{time} with {', '.join(facts[:-1])} and {facts[-1]}"
