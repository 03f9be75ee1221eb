"""Places for window, picture, lamp and rug, such that what is in the room is seen in the picture.

On walls things hang inside the picture and above the bed; lamps do not hide them; and a rug lies where its visible area

    integral over the seen rug of f^2 eye / z^3 dx dz

(the picture area of a piece of floor) is large enough. What finds no such place after a few tries is left out.
"""

import numpy as np
from numpy.random import Generator

from dis_lightning.rooms.colours import FRAME_COLOURS, LAMP_COLOURS, POLE_COLOURS, RUG_PAINTS, SKIES, pick, shaded
from dis_lightning.rooms.scene import (
    BACK,
    LEFT,
    RIGHT,
    Bed,
    Camera,
    Cuboid,
    Lamp,
    Painting,
    Pair,
    Panel,
    Rug,
    Shell,
    Window,
)

__all__ = ["place_lamp", "place_picture", "place_rug", "place_window"]

FRAME_EDGE = 0.94  # things stay this far inside the picture, whose edge is at 1
ABOVE_BED = 1.2  # metres; higher than any headboard, lower than any eye
TRIES = 12
RUG_AREA = 0.12  # of the picture's 4: about 30 pixels at 32 x 32

Rectangle = tuple[float, float, float, float]  # u0, u1, v0, v1


def place_window(rng: Generator, camera: Camera, shell: Shell) -> Window | None:
    """Draw a window on any wall; `None` if it finds no place."""
    panel = _hang(rng, camera, shell, (BACK, LEFT, RIGHT), ((0.9, 1.6), (0.95, 1.25)), 0.22)
    if panel is None:
        return None
    sky = pick(rng, (SKIES[0], *SKIES))  # half of the days
    land = shaded((0.38, 0.56, 0.30), sky.land * rng.uniform(0.8, 1.1))
    panes = pick(rng, (2, 2, 3)), pick(rng, (1, 2))
    return Window(panel, sky, sky.paint.mix(rng), land, *panes)


def place_picture(rng: Generator, camera: Camera, shell: Shell, window: Window | None) -> Painting | None:
    """Draw a picture on a wall, clear of the window; `None` if it finds no place."""
    taken = window.panel if window else None
    panel = _hang(rng, camera, shell, (BACK, BACK, LEFT, RIGHT), ((0.75, 1.2), (0.6, 0.9)), 0.26, taken)
    if panel is None:
        return None
    frame = pick(rng, FRAME_COLOURS)
    return Painting(panel, frame, *(pick(rng, RUG_PAINTS).mix(rng) for _ in range(3)))


def place_lamp(rng: Generator, camera: Camera, shell: Shell, bed: Bed, hung: list[Panel]) -> Lamp | None:
    """Draw a standing or hanging lamp that does not hide the panels; `None` if it finds no place."""
    seen = [_seen(camera, shell, panel) for panel in hung]
    for _ in range(TRIES):
        lamp = _lamp(rng, shell)
        clear = _outside(_shade_seen(camera, lamp), seen) and _apart(lamp, bed.bounds)
        if clear and lamp.top < shell.height:
            return lamp
    return None


def place_rug(rng: Generator, camera: Camera, bed: Bed, shell: Shell) -> Rug | None:
    """Draw a rug that is well seen beside, before or under the bed; `None` if it finds no place."""
    for _ in range(TRIES):
        width, length = rng.uniform(1.3, 2.6), rng.uniform(0.9, 1.7)
        x0 = rng.uniform(shell.left + 0.1, shell.right - 0.1 - width)
        z0 = rng.uniform(1.2, shell.depth - 0.3 - length)
        paint = pick(rng, RUG_PAINTS)
        rug = Rug(x0, x0 + width, z0, z0 + length, paint.name, paint.mix(rng), pick(rng, RUG_PAINTS).mix(rng))
        if _rug_area(camera, bed.bounds, rug) > RUG_AREA:
            return rug
    return None


def _reach(camera: Camera, shell: Shell, wall: int) -> tuple[float, float]:
    """Where along a wall things hang inside the picture; empty (start > end) if nowhere."""
    edge, f = FRAME_EDGE, camera.focal
    if wall == BACK:
        low, high = (-edge - camera.u_0) * shell.depth / f, (edge - camera.u_0) * shell.depth / f
        return max(low, shell.left + 0.15), min(high, shell.right - 0.15)
    nearest = f * -shell.left / (edge + camera.u_0) if wall == LEFT else f * shell.right / (edge - camera.u_0)
    return nearest, shell.depth - 0.2


def _seen(camera: Camera, shell: Shell, panel: Panel) -> Rectangle:
    """The rectangle `(u0, u1, v0, v1)` of the picture around a panel."""
    points = [camera.project(*corner) for corner in panel.corners(shell)]
    us, vs = [u for u, _ in points], [v for _, v in points]
    return min(us), max(us), min(vs), max(vs)


def _hang(
    rng: Generator,
    camera: Camera,
    shell: Shell,
    walls: tuple[int, ...],
    sizes: tuple[Pair, Pair],
    least: float,
    taken: Panel | None = None,
) -> Panel | None:
    """Place a panel at least `least` wide in the picture, clear of `taken`; `None` if it finds no place."""
    for _ in range(TRIES):
        wall, wide, high = pick(rng, walls), rng.uniform(*sizes[0]), rng.uniform(*sizes[1])
        low, end = _reach(camera, shell, wall)
        bottom = rng.uniform(ABOVE_BED, max(ABOVE_BED, min(shell.height - 0.15 - high, 1.55)))
        start = low + rng.random() * (end - wide - low)
        panel = Panel(wall, start, start + wide, bottom, min(bottom + high, shell.height - 0.12))
        clear = taken is None or taken.wall != wall or start > taken.end + 0.15 or start + wide < taken.start - 0.15
        if end - low >= wide and clear:
            left, right, *_ = _seen(camera, shell, panel)
            if right - left >= least:
                return panel
    return None


def _lamp(rng: Generator, shell: Shell) -> Lamp:
    radius, tall = rng.uniform(0.30, 0.42), rng.uniform(0.42, 0.54)
    hanging = rng.random() < 0.4
    if hanging:
        x, z = rng.uniform(0.65 * shell.left, 0.65 * shell.right), rng.uniform(0.6, 0.85) * shell.depth
        bottom = rng.uniform(1.8, max(1.8, shell.height - tall - 0.25))
    else:
        gap = radius + 0.06
        x = pick(rng, (shell.left + gap, shell.right - gap))
        z, bottom = shell.depth - gap - rng.uniform(0.0, 1.2), rng.uniform(ABOVE_BED, 1.4)
    shade, pole = pick(rng, LAMP_COLOURS), pick(rng, POLE_COLOURS)
    return Lamp(hanging, x, z, bottom, bottom + tall, radius, rng.uniform(0.5, 0.85), shade, pole)


def _shade_seen(camera: Camera, lamp: Lamp) -> Rectangle:
    """The rectangle of the picture around the lamp's shade."""
    u0, v0 = camera.project(lamp.x - lamp.radius, lamp.top, lamp.z)
    u1, v1 = camera.project(lamp.x + lamp.radius, lamp.bottom, lamp.z)
    return u0, u1, v0, v1


def _outside(shade: Rectangle, seen: list[Rectangle]) -> bool:
    """Whether the shade is inside the picture and clear of the rectangles."""
    u0, u1, v0, v1 = shade
    clear = all(u1 < a or b < u0 or v1 + 0.05 < c or d < v0 for a, b, c, d in seen)
    return clear and u0 > -FRAME_EDGE and u1 < FRAME_EDGE and v0 > -FRAME_EDGE


def _apart(lamp: Lamp, bed: Cuboid) -> bool:
    """Whether the lamp's foot is clear of the bed."""
    x0, x1, _, _, z0, z1 = bed
    return lamp.hanging or lamp.x + 0.2 < x0 or lamp.x - 0.2 > x1 or lamp.z + 0.2 < z0 or lamp.z - 0.2 > z1


def _rug_area(camera: Camera, bed: Cuboid, rug: Rug) -> float:
    """The picture area of the rug that neither the frame nor the bed hides, by the midpoint rule."""
    cells = (np.arange(12) + 0.5) / 12
    x = rug.x0 + (rug.x1 - rug.x0) * cells
    z = (rug.z0 + (rug.z1 - rug.z0) * cells)[:, None]
    u, v = camera.u_0 + camera.focal * x / z, camera.v_0 + camera.focal * camera.eye / z
    # The ray to a floor point is (x, -eye, z) t. It is at or below the bed's top for t >= `enter` and meets the bed
    # if it is between the bed's sides at any such t <= 1.
    enter = 1 - bed.y1 / camera.eye
    t0 = np.maximum(enter, bed.z0 / z)
    t1 = np.minimum(1.0, bed.z1 / z)
    low, high = np.minimum(x * t0, x * t1), np.maximum(x * t0, x * t1)
    free = (t0 > t1) | (high < bed.x0) | (low > bed.x1)
    seen = free & (np.abs(u) < 1) & (v < 1)
    density = camera.focal**2 * camera.eye / z**3
    return float((seen * density).sum() * (rug.x1 - rug.x0) * (rug.z1 - rug.z0) / cells.size**2)
