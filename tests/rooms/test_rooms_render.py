"""The renderer against independent geometry: polygons by cross products, solids by casting rays."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dis_lightning.rooms.render import render
from dis_lightning.rooms.scene import Camera, Cuboid, Scene, Shell
from dis_lightning.rooms.surfaces import SurfaceKind, surfaces
from dis_lightning.rooms.world import draw_scene

Floats = NDArray[np.float64]
NEAR = 1e-3


def scenes(count: int) -> list[Scene]:
    return [draw_scene("render", index) for index in range(count)]


def points(size: int, offset: tuple[float, float]) -> tuple[Floats, Floats]:
    """The picture coordinates of a point in each pixel; the offset is in pixels from its upper left corner."""
    v, u = np.meshgrid(np.arange(size) + offset[1], np.arange(size) + offset[0], indexing="ij")
    return 2 * u / size - 1, 2 * v / size - 1


def shell_polygons(camera: Camera, shell: Shell) -> list[Floats]:
    left, right, high, deep = shell.left, shell.right, shell.height, shell.depth
    in_space = (
        [(left, 0, deep), (right, 0, deep), (right, high, deep), (left, high, deep)],
        [(left, 0, NEAR), (left, 0, deep), (left, high, deep), (left, high, NEAR)],
        [(right, 0, NEAR), (right, 0, deep), (right, high, deep), (right, high, NEAR)],
        [(left, 0, NEAR), (right, 0, NEAR), (right, 0, deep), (left, 0, deep)],
        [(left, high, NEAR), (right, high, NEAR), (right, high, deep), (left, high, deep)],
    )
    return [np.array([camera.project(*corner) for corner in corners]) for corners in in_space]


def inside(polygon: Floats, u: Floats, v: Floats) -> NDArray[np.bool_]:
    """Whether points are inside a convex polygon: on the same side of all its edges."""
    ahead = np.roll(polygon, -1, axis=0)
    cross = [(b[0] - a[0]) * (v - a[1]) - (b[1] - a[1]) * (u - a[0]) for a, b in zip(polygon, ahead, strict=True)]
    left, right = np.all(np.stack(cross) > 0, axis=0), np.all(np.stack(cross) < 0, axis=0)
    return np.asarray(left | right)


@pytest.mark.parametrize("scene", scenes(12))
@pytest.mark.parametrize("size", [32, 64])
def test_layout_is_the_projected_box(scene: Scene, size: int) -> None:
    layout = render(scene, size).layout
    decided = np.zeros((size, size), dtype=int)
    corners = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)]
    for surface, polygon in enumerate(shell_polygons(scene.camera, scene.shell)):
        whole = np.all([inside(polygon, *points(size, corner)) for corner in corners], axis=0)
        assert (layout[whole] == surface).all()
        decided += whole
    assert decided.max() == 1
    assert decided.mean() > 0.8


@pytest.mark.parametrize("scene", scenes(6))
def test_the_back_wall_has_its_exact_area(scene: Scene) -> None:
    camera, shell, size = scene.camera, scene.shell, 256
    u0, v0 = camera.project(shell.left, shell.height, shell.depth)
    u1, v1 = camera.project(shell.right, 0.0, shell.depth)
    u0, v0, u1, v1 = np.clip([u0, v0, u1, v1], -1, 1)
    area = np.count_nonzero(render(scene, size).layout == 0) * (2 / size) ** 2
    perimeter = 2 * (u1 - u0 + v1 - v0)
    assert abs(area - (u1 - u0) * (v1 - v0)) < perimeter / 2 * (2 / size)


def reach(camera: Camera, block: Cuboid, u: Floats, v: Floats) -> Floats:
    """The depth at which the rays through points of the picture enter a solid; infinite where they miss it."""
    ray = ((u - camera.u_0) / camera.focal, -(v - camera.v_0) / camera.focal, np.ones_like(u))
    enter, leave = np.zeros_like(u), np.full_like(u, np.inf)
    for direction, origin, low, high in zip(
        ray, (0.0, camera.eye, 0.0), (block.x0, block.y0, block.z0), (block.x1, block.y1, block.z1), strict=True
    ):
        direction = np.where(direction == 0, 1e-12, direction)
        one, two = (low - origin) / direction, (high - origin) / direction
        enter, leave = np.maximum(enter, np.minimum(one, two)), np.minimum(leave, np.maximum(one, two))
    return np.where(enter < leave, enter, np.inf)


def bed_depth(scene: Scene, u: Floats, v: Floats) -> Floats:
    bed = scene.bed
    solids = (bed.headboard, bed.frame, bed.mattress, *bed.pillows, bed.blanket)
    return np.asarray(np.min([reach(scene.camera, solid, u, v) for solid in solids], axis=0))


@pytest.mark.parametrize("scene", scenes(30))
def test_bed_pixels_are_those_whose_rays_meet_the_bed(scene: Scene) -> None:
    size, offsets = 48, [(a, b) for a in (0.05, 0.5, 0.95) for b in (0.05, 0.5, 0.95)]
    bed = np.equal(render(scene._replace(lamp=None), size).segmentation, SurfaceKind.BED)
    met = np.array([np.isfinite(bed_depth(scene, *points(size, offset))) for offset in offsets])
    assert bed[met.all(axis=0)].all()
    assert not bed[~met.any(axis=0)].any()
    assert met.all(axis=0).sum() > 0.5 * bed.sum()


def test_lamp_and_bed_hide_each_other_as_their_depths_say() -> None:
    compared = 0
    for scene in scenes(150):
        lamp = scene.lamp
        if lamp is None or lamp.hanging:
            continue
        foot = Cuboid(lamp.x - 0.044, lamp.x + 0.044, 0.0, lamp.bottom, lamp.z, lamp.z + 1e-6)
        u, v = points(96, (0.5, 0.5))
        pole, bed = reach(scene.camera, foot, u, v), bed_depth(scene, u, v)
        both = np.isfinite(pole) & np.isfinite(bed)
        # Solid bed on both sides of the pixel, so that the edge of the bed is not in it.
        both &= np.isfinite(bed_depth(scene, u - 0.02, v)) & np.isfinite(bed_depth(scene, u, v - 0.02))
        both &= np.isfinite(bed_depth(scene, u + 0.02, v)) & np.isfinite(bed_depth(scene, u, v + 0.02))
        kinds = render(scene, 96).segmentation[both]
        nearest = np.where(pole < bed, SurfaceKind.LAMP, SurfaceKind.BED)[both]
        hidden = nearest == SurfaceKind.BED
        assert (kinds[hidden] == SurfaceKind.BED).all()
        compared += hidden.sum()
    assert compared > 50


@pytest.mark.parametrize("scene", scenes(10))
def test_flat_colours_of_the_blanket_are_bed_and_only_bed(scene: Scene) -> None:
    plain = scene._replace(lamp=None, picture=None, window=None, rug=None, ambient=(1.0, 1.0, 1.0))
    raster = render(plain, 64)
    cover = np.array(scene.bed.cover)
    flat = [np.rint(np.rint(255 * cover * gain)) for gain in (1.0, 0.8)]
    blanket = np.array([(np.abs(raster.image - colour) <= 1).all(axis=2) for colour in flat]).any(axis=0)
    bed = np.equal(raster.segmentation, SurfaceKind.BED)
    assert blanket[bed].mean() > 0.3
    if np.ptp(cover) > 0.2:  # a white blanket may have the colour of a wall
        assert not blanket[~bed].any()


@pytest.mark.parametrize("scene", scenes(10))
def test_edges_are_anti_aliased(scene: Scene) -> None:
    plain = scene._replace(lamp=None, ambient=(1.0, 1.0, 1.0))  # no light but the creases of the shell
    flat = {surface.colour for surface in surfaces(plain) if surface.kind == SurfaceKind.BED}
    raster = render(plain, 64)
    on_the_bed = np.unique(raster.image[raster.segmentation == SurfaceKind.BED], axis=0)
    assert len(on_the_bed) > 2 * len(flat)


def test_a_lamp_adds_light_and_takes_none_away() -> None:
    lit = [scene for scene in scenes(30) if scene.lamp is not None]
    for scene in lit:
        on, off = render(scene, 32), render(scene._replace(lamp=None), 32)
        lamp = np.pad(on.segmentation == SurfaceKind.LAMP, 2)
        # The pole may be too thin to be a pixel's majority, so its whole column is left out.
        column = lamp.any(axis=0)
        away = ~(column[:-4] | column[1:-3] | column[2:-2] | column[3:-1] | column[4:])
        assert (on.image[:, away].astype(int) >= off.image[:, away]).all()
        assert on.image[:, away].astype(int).sum() > off.image[:, away].astype(int).sum()
    assert len(lit) > 10


@pytest.mark.parametrize("scene", scenes(8))
def test_creases_darken_the_back_wall_as_the_formula_says(scene: Scene) -> None:
    bare = scene._replace(lamp=None, picture=None, window=None, rug=None)
    shell, camera, image = scene.shell, scene.camera, render(bare, 256).image
    x, bright, expected = 0.5 * (shell.left + shell.right), [], []
    for below in (0.9, 0.12):
        u, v = camera.project(x, shell.height - below, shell.depth)
        bright.append(image[int((v + 1) * 128), int((u + 1) * 128)].astype(float))
        to_planes = np.array([x - shell.left, shell.right - x, shell.height - below, below])
        expected.append(1 - 0.16 * np.exp(-to_planes / 0.35).sum())
    assert expected[1] < 0.93 * expected[0]
    assert np.abs(bright[1] / bright[0] - expected[1] / expected[0]).max() < 0.02
