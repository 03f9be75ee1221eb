"""From a scene to flat convex surfaces in painting order, the farthest first.

Every solid is an axis-aligned block and shows the camera at most three faces; solids are ordered by a plane that
separates them: what lies on the camera's side of it is painted later.
"""

from enum import IntEnum
from math import cos, pi, sin
from typing import NamedTuple

from dis_lightning.rooms.colours import Colour, shaded
from dis_lightning.rooms.scene import LEFT, RIGHT, Cuboid, Lamp, Painting, Panel, Rug, Scene, Shell, Spot, Window

__all__ = ["Surface", "SurfaceKind", "surfaces"]

NEAR = 0.3  # metres; the shell starts here, far outside the picture
SKIRTING = 0.1  # metres
WHITE: Colour = (0.95, 0.95, 0.93)


class SurfaceKind(IntEnum):
    """What a pixel shows: the classes of the segmentation."""

    WALL = 0
    FLOOR = 1
    CEILING = 2
    BED = 3
    WINDOW = 4
    LAMP = 5
    PICTURE = 6
    RUG = 7


class Surface(NamedTuple):
    """A convex polygon in space.

    Attributes:
        corners: points around it, in metres.
        colour: its flat colour; `None` for a shadow, which darkens what it falls on.
        kind: what it belongs to.
    """

    corners: tuple[Spot, ...]
    colour: Colour | None
    kind: SurfaceKind


def surfaces(scene: Scene) -> list[Surface]:
    """All surfaces in painting order; the first five are the shell: back, left, right, floor, ceiling."""
    shell, bed = scene.shell, scene.bed
    painted = [*_shell(shell), *_boards(shell), *_skirting(shell)]
    if scene.window:
        painted += _window(shell, scene.window)
    if scene.picture:
        painted += _picture(shell, scene.picture)
    if scene.rug:
        painted += _rug(scene.rug)
    painted.append(_bed_shadow(shell, bed.bounds))
    lamp = _lamp(shell, scene.lamp) if scene.lamp else []
    if scene.lamp and _behind(scene.lamp, bed.bounds):
        return painted + lamp + _bed(scene)
    return painted + _bed(scene) + lamp


def _rectangle(x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]) -> tuple[Spot, Spot, Spot, Spot]:
    """The corners of a rectangle that is flat in exactly one coordinate."""
    (x0, x1), (y0, y1), (z0, z1) = x, y, z
    if x0 == x1:
        return (x0, y0, z0), (x0, y0, z1), (x0, y1, z1), (x0, y1, z0)
    if y0 == y1:
        return (x0, y0, z0), (x1, y0, z0), (x1, y0, z1), (x0, y0, z1)
    return (x0, y0, z0), (x1, y0, z0), (x1, y1, z0), (x0, y1, z0)


def _shell(shell: Shell) -> list[Surface]:
    x, y, z = (shell.left, shell.right), (0.0, shell.height), (NEAR, shell.depth)
    (left, right), (bottom, top), (_, depth) = x, y, z
    corners = (
        _rectangle(x, y, (depth, depth)),
        _rectangle((left, left), y, z),
        _rectangle((right, right), y, z),
        _rectangle(x, (bottom, bottom), z),
        _rectangle(x, (top, top), z),
    )
    colours = (shell.wall, shell.wall, shell.wall, shell.floor, shell.ceiling)
    kinds = (SurfaceKind.WALL, SurfaceKind.WALL, SurfaceKind.WALL, SurfaceKind.FLOOR, SurfaceKind.CEILING)
    return [Surface(c, shaded(p, g), k) for c, p, g, k in zip(corners, colours, shell.gains, kinds, strict=True)]


def _boards(shell: Shell) -> list[Surface]:
    """Every other board of the floor, a little darker."""
    seams = (*shell.planks, shell.right)
    dark = shaded(shell.floor, 0.9)
    return [
        Surface(_rectangle(pair, (0.0, 0.0), (NEAR, shell.depth)), dark, SurfaceKind.FLOOR)
        for pair in zip(seams[0:-1:2], seams[1::2], strict=False)
    ]


def _skirting(shell: Shell) -> list[Surface]:
    x, y, z = (shell.left, shell.right), (0.0, SKIRTING), (NEAR, shell.depth)
    corners = (
        _rectangle(x, y, (shell.depth, shell.depth)),
        _rectangle((shell.left, shell.left), y, z),
        _rectangle((shell.right, shell.right), y, z),
    )
    return [Surface(c, shaded(WHITE, gain), SurfaceKind.WALL) for c, gain in zip(corners, shell.gains[:3], strict=True)]


def _window(shell: Shell, window: Window) -> list[Surface]:
    def sheet(panel: Panel, colour: Colour) -> Surface:
        return Surface(panel.corners(shell), colour, SurfaceKind.WINDOW)

    glass = window.panel.inset(0.07)
    bar_x, bar_y = 0.05 / (glass.end - glass.start), 0.05 / (glass.top - glass.bottom)
    frame = shaded(WHITE, shell.gains[window.panel.wall])
    bars = [
        sheet(glass.part(i / window.columns - bar_x / 2, i / window.columns + bar_x / 2, 0.0, 1.0), frame)
        for i in range(1, window.columns)
    ]
    bars += [
        sheet(glass.part(0.0, 1.0, j / window.rows - bar_y / 2, j / window.rows + bar_y / 2), frame)
        for j in range(1, window.rows)
    ]
    land = glass.part(0.0, 1.0, 0.0, 0.28)
    return [sheet(window.panel, frame), sheet(glass, window.sky), sheet(land, window.land), *bars]


def _picture(shell: Shell, picture: Painting) -> list[Surface]:
    gain, canvas = shell.gains[picture.panel.wall], picture.panel.inset(0.07)
    sun = canvas.part(0.58, 0.82, 0.55, 0.85)
    a, b, _, _ = canvas.part(0.0, 1.0, 0.0, 0.5).corners(shell)
    _, _, _, hill = canvas.part(0.35, 1.0, 0.0, 0.72).corners(shell)
    parts = (
        (picture.panel.corners(shell), picture.frame),
        (canvas.corners(shell), picture.sky),
        (sun.corners(shell), picture.sun),
        ((a, b, hill), picture.land),
    )
    return [Surface(corners, shaded(colour, gain), SurfaceKind.PICTURE) for corners, colour in parts]


def _rug(rug: Rug) -> list[Surface]:
    margin = 0.16
    inner = (rug.x0 + margin, rug.x1 - margin), (rug.z0 + margin, rug.z1 - margin)
    return [
        Surface(_rectangle((rug.x0, rug.x1), (0.0, 0.0), (rug.z0, rug.z1)), rug.border, SurfaceKind.RUG),
        Surface(_rectangle(inner[0], (0.0, 0.0), inner[1]), rug.colour, SurfaceKind.RUG),
    ]


def _bed_shadow(shell: Shell, bed: Cuboid) -> Surface:
    spread = 0.14
    x = max(bed.x0 - spread, shell.left), min(bed.x1 + spread, shell.right)
    z = bed.z0 - spread, min(bed.z1 + spread, shell.depth)
    return Surface(_rectangle(x, (0.0, 0.0), z), None, SurfaceKind.FLOOR)


def _bed(scene: Scene) -> list[Surface]:
    bed, shell = scene.bed, scene.shell
    sheet = (0.93, 0.92, 0.90)
    solids = [(bed.headboard, bed.wood), (bed.frame, bed.wood), (bed.mattress, sheet)]
    solids += [(pillow, WHITE) for pillow in bed.pillows]
    solids.append((bed.blanket, bed.cover))
    return [surface for block, colour in solids for surface in _faces(block, colour, shell, scene.camera.eye)]


def _faces(block: Cuboid, colour: Colour, shell: Shell, eye: float) -> list[Surface]:
    """The faces of a block that the camera sees, all on the bed."""
    x0, x1, y0, y1, z0, z1 = block
    faces = [Surface(_rectangle((x0, x1), (y0, y1), (z0, z0)), shaded(colour, 0.8), SurfaceKind.BED)]
    if x0 > 0:  # looks to the left, as the right wall does
        side = shaded(colour, 0.88 * shell.gains[RIGHT])
        faces.append(Surface(_rectangle((x0, x0), (y0, y1), (z0, z1)), side, SurfaceKind.BED))
    if x1 < 0:
        side = shaded(colour, 0.88 * shell.gains[LEFT])
        faces.append(Surface(_rectangle((x1, x1), (y0, y1), (z0, z1)), side, SurfaceKind.BED))
    if y1 < eye:
        faces.append(Surface(_rectangle((x0, x1), (y1, y1), (z0, z1)), colour, SurfaceKind.BED))
    return faces


def _lamp(shell: Shell, lamp: Lamp) -> list[Surface]:
    def plate(half: float, bottom: float, top: float, colour: Colour) -> Surface:
        x = (lamp.x - half, lamp.x + half)
        return Surface(_rectangle(x, (bottom, top), (lamp.z, lamp.z)), colour, SurfaceKind.LAMP)

    flat = 0.16 * lamp.radius  # how far the rims bulge
    rims = ((lamp.radius, lamp.bottom, -flat), (lamp.taper * lamp.radius, lamp.top, flat))
    corners = tuple(
        (lamp.x + sign * radius * cos(pi * k / 3), y + bulge * sin(pi * k / 3), lamp.z)
        for (radius, y, bulge), sign in zip(rims, (-1, 1), strict=True)
        for k in range(4)
    )
    shade = Surface(corners, lamp.shade, SurfaceKind.LAMP)
    if lamp.hanging:
        return [plate(0.025, lamp.top, shell.height, lamp.pole), shade]
    return [plate(0.045, 0.0, lamp.bottom, lamp.pole), plate(0.16, 0.0, 0.06, lamp.pole), shade]


def _behind(lamp: Lamp, bed: Cuboid) -> bool:
    """Whether the bed may hide the lamp: some plane between them has the bed on the camera's side."""
    if lamp.hanging or lamp.z <= bed.z0:
        return False
    if lamp.x <= bed.x0:
        return bed.x0 <= 0
    if lamp.x >= bed.x1:
        return bed.x1 >= 0
    return True
