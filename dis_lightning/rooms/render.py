"""From a scene to pixels: polygons painted on a fine grid, averaged, then lit.

A convex polygon covers one span of each row, between the least and the greatest crossing of its edges with the row's
centre. Painting writes the polygon's number into the spans; colours are the mean over the `SUPERSAMPLING^2` samples of
a pixel, classes their majority. Light is smooth and multiplies the mean colour:

    light = ambient (1 + lamp glow) (1 - creases),    creases = share of bare shell * k (sum_i exp(-d_i / s) - 1)

with `d_i` the distances of the shell's point behind the pixel to the five planes of the shell (its own plane at 0).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dis_lightning.rooms.scene import Camera, Scene, Shell
from dis_lightning.rooms.surfaces import Surface, SurfaceKind, surfaces

__all__ = ["Raster", "render"]

SUPERSAMPLING = 4
SHADOW = 128  # this bit of a sample says that a shadow falls on it
SHADOW_GAIN = 0.72
CREASE_DEPTH, CREASE_WIDTH = 0.16, 0.35  # k, and s in metres
GLOW, GLOW_WIDTH = 0.18, 0.4
SHELL_SURFACES = 5

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]


class Raster(NamedTuple):
    """The pixels of a scene: `image (size, size, 3)`, `segmentation` and `layout` `(size, size)`, all uint8."""

    image: Bytes
    segmentation: Bytes
    layout: Bytes


def render(scene: Scene, size: int) -> Raster:
    """Draw a scene.

    Args:
        scene: what to draw.
        size: height and width in pixels.

    Returns:
        the picture, the class of each pixel (`Kind`) and the surface of the empty shell behind it.
    """
    painted = surfaces(scene)
    samples, shell = _paint(scene.camera, painted, size * SUPERSAMPLING)
    colours, kinds = _tables(painted)
    mean = _mean(samples, colours)
    image = mean[..., :3] * _light(scene, bare=mean[..., 3], size=size)
    return Raster(
        np.clip(np.rint(image), 0, 255).astype(np.uint8),
        _majority(kinds[samples], size, len(SurfaceKind)),
        _majority(shell, size, SHELL_SURFACES),
    )


def _tables(painted: list[Surface]) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """For each value of a sample: its colour in 0..255 and whether it is bare shell, `(256, 4)`; its kind, `(256,)`."""
    palette, kinds = np.zeros((2, SHADOW, 4)), np.zeros((2, SHADOW), dtype=np.uint8)
    palette[:, : len(painted), :3] = [surface.colour or (0.0, 0.0, 0.0) for surface in painted]
    palette[1] *= SHADOW_GAIN
    palette *= 255
    palette[:, :SHELL_SURFACES, 3] = 1
    kinds[:, : len(painted)] = [surface.kind for surface in painted]
    return np.rint(palette).astype(np.uint16).reshape(2 * SHADOW, 4), kinds.ravel()


def _spans(camera: Camera, painted: list[Surface], width: int) -> NDArray[np.int16]:
    """First and last-plus-one sample that each surface covers in each row, `(2, surfaces, width)`."""
    most = max(len(surface.corners) for surface in painted)
    corners = [[*surface.corners, *surface.corners[-1:] * (most - len(surface.corners))] for surface in painted]
    x, y, z = np.moveaxis(np.array(corners), 2, 0)
    scale = camera.focal / z
    column = (camera.u_0 + scale * x + 1) * (width / 2)
    row = (camera.v_0 + scale * (camera.eye - y) + 1) * (width / 2)
    next_column, next_row = np.roll(column, -1, axis=1), np.roll(row, -1, axis=1)
    rise = next_row - row
    slope = (next_column - column) / np.where(rise == 0, 1, rise)

    centres = np.arange(width) + 0.5
    crossed = (row[..., None] <= centres) != (next_row[..., None] <= centres)
    crossing = slope[..., None] * centres + (column - slope * row)[..., None]
    first = np.where(crossed, crossing, np.inf).min(axis=1)
    last = np.where(crossed, crossing, -np.inf).max(axis=1)
    return np.clip(np.ceil(np.stack([first, last]) - 0.5), 0, width).astype(np.int16)


def _paint(camera: Camera, painted: list[Surface], width: int) -> tuple[Bytes, Bytes]:
    """The number of the surface seen at each sample, and of the shell's surface behind it, `(width, width)`."""
    samples = np.zeros((width, width), dtype=np.uint8)
    shell = samples
    columns = np.arange(width, dtype=np.int16)
    first, last = _spans(camera, painted, width)
    hit = first < last
    top, bottom = hit.argmax(axis=1).tolist(), (width - hit[:, ::-1].argmax(axis=1)).tolist()
    left, right = first.min(axis=1).tolist(), last.max(axis=1).tolist()
    for number in np.flatnonzero(hit.any(axis=1)).tolist():
        if number >= SHELL_SURFACES and shell is samples:
            shell = samples.copy()
        rows, wide = slice(top[number], bottom[number]), slice(left[number], right[number])
        covered = columns[wide] >= first[number, rows, None]
        covered &= columns[wide] < last[number, rows, None]
        if painted[number].colour is None:
            samples[rows, wide] |= covered * np.uint8(SHADOW)
        else:
            np.copyto(samples[rows, wide], number, where=covered)
    return samples, shell


def _mean(samples: Bytes, table: NDArray[np.uint16]) -> Floats:
    """The mean over each pixel's samples of four values per surface.

    Args:
        samples: numbers into the table, `(width, width)`.
        table: whole values up to 255, `(256, 4)`.

    Returns:
        the means, `(size, size, 4)`.
    """
    n = SUPERSAMPLING
    lanes = table.view(np.uint64)[samples, 0]  # one 64-bit sum adds four 16-bit values, and no lane overflows
    rows = np.stack([lanes[i::n] for i in range(n)]).sum(axis=0)
    total: NDArray[np.uint64] = np.stack([rows[:, j::n] for j in range(n)]).sum(axis=0)
    return total.view(np.uint16).reshape(*total.shape, 4) / float(n**2)


def _majority(labels: Bytes, size: int, classes: int) -> Bytes:
    """The most frequent label of each pixel, the lowest where several are."""
    pixel = np.repeat(np.arange(size) * classes, SUPERSAMPLING)
    cell = pixel[:, None] * size + pixel + labels
    counts = np.bincount(cell.ravel(), minlength=size * size * classes).reshape(size, size, classes)
    most: NDArray[np.intp] = counts.argmax(axis=2)
    return most.astype(np.uint8)


def _light(scene: Scene, bare: Floats, size: int) -> Floats:
    """The light on each pixel, `(size, size, 3)`; creases only where the shell is bare."""
    camera, shell, lamp = scene.camera, scene.shell, scene.lamp
    centres = (2 * np.arange(size) + 1) / size - 1
    u, v = centres, centres[:, None]
    light: Floats = (1 - bare * _creases(camera, shell, u, v))[..., None] * np.array(scene.ambient)
    if lamp is not None:
        lamp_u, lamp_v = camera.project(lamp.x, (lamp.bottom + lamp.top) / 2, lamp.z)
        glow = GLOW * np.exp(-((u - lamp_u) ** 2 + (v - lamp_v) ** 2) / (2 * GLOW_WIDTH**2))
        light *= 1 + glow[..., None] * np.array((1.0, 0.85, 0.6))
    return light


def _creases(camera: Camera, shell: Shell, u: Floats, v: Floats) -> Floats:
    """How much the corners of the empty room darken each pixel."""
    x, y = (u - camera.u_0) / camera.focal, (camera.v_0 - v) / camera.focal
    rate = np.maximum(np.maximum(x / shell.right, x / shell.left), 1 / shell.depth)
    rate = np.maximum(rate, np.maximum(y / (shell.height - camera.eye), -y / camera.eye))
    x, y, z = x / rate, camera.eye + y / rate, 1 / rate  # the ray (x, y, 1) t leaves the shell at t = 1 / rate
    distances = np.stack([x - shell.left, shell.right - x, y, shell.height - y, shell.depth - z])
    near: Floats = np.exp(-distances / CREASE_WIDTH).sum(axis=0)
    return CREASE_DEPTH * (near - 1)
