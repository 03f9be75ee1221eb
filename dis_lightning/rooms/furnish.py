"""Drawing a room: sizes, places and colours from one random stream.

The order of the draws defines the world: changing it, or any limit, changes every room.
"""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from dis_lightning.rooms.colours import BED_PAINTS, FLOOR_PAINTS, WALL_PAINTS, Colour, pick, shaded
from dis_lightning.rooms.placement import place_lamp, place_picture, place_rug, place_window
from dis_lightning.rooms.scene import BACK, LEFT, RIGHT, Bed, Camera, Cuboid, Pair, Scene, Shell

__all__ = ["furnish"]

DAYLIGHT: Colour = (1.0, 1.0, 1.0)
HEM = 0.03  # metres by which the blanket is wider than the bed


def furnish(rng: Generator) -> Scene:
    """Draw a room.

    Args:
        rng: the room's own random stream.

    Returns:
        the scene; the bed is always there, everything else with a probability of about two thirds.
    """
    camera = _camera(rng)
    shell = _shell(rng)
    bed = _bed(rng, shell)
    while not _in_view(camera, bed.bounds):  # most beds are, and one at the middle of the back wall always is
        bed = _bed(rng, shell)
    window = place_window(rng, camera, shell) if rng.random() < 0.75 else None
    picture = place_picture(rng, camera, shell, window) if rng.random() < 0.7 else None
    hung = [thing.panel for thing in (window, picture) if thing]
    lamp = place_lamp(rng, camera, shell, bed, hung) if rng.random() < 0.7 else None
    rug = place_rug(rng, camera, bed, shell) if rng.random() < 0.75 else None
    ambient = window.outside.ambient if window else DAYLIGHT
    return Scene(camera, shell, bed, window, picture, lamp, rug, ambient)


def _camera(rng: Generator) -> Camera:
    return Camera(rng.uniform(-0.22, 0.22), rng.uniform(-0.22, 0.0), rng.uniform(1.15, 1.4), rng.uniform(1.4, 1.75))


def _shell(rng: Generator) -> Shell:
    width, height, depth = rng.uniform(3.3, 4.6), rng.uniform(2.45, 2.9), rng.uniform(3.6, 4.8)
    left = -width * rng.uniform(0.38, 0.62)
    paint, floor = pick(rng, WALL_PAINTS), pick(rng, FLOOR_PAINTS).mix(rng)
    board = rng.uniform(0.28, 0.5)
    planks = tuple(np.arange(left + board, left + width, board).tolist()) if rng.random() < 0.7 else ()
    ceiling = rng.uniform(0.86, 0.93)
    dark, bright = rng.uniform(0.78, 0.88), rng.uniform(0.94, 1.0)
    sides = (dark, bright) if rng.random() < 0.5 else (bright, dark)
    return Shell(
        left=left,
        right=left + width,
        height=height,
        depth=depth,
        wall_name=paint.name,
        wall=paint.mix(rng),
        floor=floor,
        ceiling=(ceiling, ceiling, ceiling * rng.uniform(0.95, 1.0)),
        planks=planks,
        gains=(rng.uniform(0.9, 0.96), *sides, 1.0, rng.uniform(0.92, 0.98)),
    )


class _Place(NamedTuple):
    """Where the bed stands: the wall at its head, its width, and how far it is shifted along that wall.

    The shift counts from the left end of the back wall, or from the far end of a side wall.
    """

    shell: Shell
    head: int
    shift: float

    def block(self, along: Pair, across: Pair, y: Pair) -> Cuboid:
        """A solid given from the head end along the bed and from its left or far side across it."""
        shell = self.shell
        if self.head == BACK:
            x = shell.left + self.shift
            return Cuboid(x + across[0], x + across[1], *y, shell.depth - along[1], shell.depth - along[0])
        z = shell.depth - self.shift
        if self.head == LEFT:
            return Cuboid(shell.left + along[0], shell.left + along[1], *y, z - across[1], z - across[0])
        return Cuboid(shell.right - along[1], shell.right - along[0], *y, z - across[1], z - across[0])


def _bed(rng: Generator, shell: Shell) -> Bed:
    head = pick(rng, (BACK, BACK, LEFT, RIGHT))
    width, length, height = rng.uniform(1.4, 1.9), rng.uniform(1.95, 2.15), rng.uniform(0.48, 0.62)
    slack = (shell.right - shell.left - width) if head == BACK else rng.uniform(0.0, 0.8)
    place = _Place(shell, head, slack * rng.uniform(0.12, 0.88))
    fold, drop = length * (1 - rng.uniform(0.55, 0.8)), height * (1 - rng.uniform(0.35, 0.85))
    board, one_pillow = rng.uniform(0.85, 1.15), rng.random() < 0.3
    sides = [(0.2, 0.8)] if one_pillow else [(0.06, 0.47), (0.53, 0.94)]
    paint = int(rng.random() * len(BED_PAINTS))
    return Bed(
        head=head,
        paint=paint,
        headboard=place.block((0.0, 0.08), (0.0, width), (0.0, board)),
        frame=place.block((0.08, length), (0.0, width), (0.0, 0.5 * height)),
        mattress=place.block((0.08, length - 0.03), (0.02, width - 0.02), (0.5 * height, height)),
        pillows=tuple(place.block((0.12, 0.5), (a * width, b * width), (height, height + 0.16)) for a, b in sides),
        blanket=place.block((fold, length + HEM), (-HEM, width + HEM), (drop, height + 0.05)),
        wood=shaded(pick(rng, FLOOR_PAINTS[:3]).mix(rng), rng.uniform(0.7, 1.0)),
        cover=BED_PAINTS[paint].mix(rng),
    )


def _in_view(camera: Camera, bed: Cuboid) -> bool:
    """Whether the middle of the bed is well inside the picture."""
    u, v = camera.project((bed.x0 + bed.x1) / 2, bed.y1, (bed.z0 + bed.z1) / 2)
    return abs(u) < 0.75 and v < 0.95
