"""The rooms world: purity, one scene at every size, and words, labels and classes that agree with the pixels."""

from colorsys import rgb_to_hsv
from hashlib import sha256
from math import sqrt

import numpy as np
import pytest

from dis_lightning.rooms import LAYOUT_CLASSES, ROOM_CLASSES, SEGMENTATION_CLASSES, Room, render_room
from dis_lightning.rooms.colours import WALL_PAINTS
from dis_lightning.rooms.world import draw_scene

BED = SEGMENTATION_CLASSES.index("bed")
OBJECTS = ("bed", "window", "lamp", "picture", "rug")
# sha256 of the rooms (seed 0): a change here is a new world, for which the bundled networks were not trained.
FINGERPRINTS = {
    ("train", 0, 32): "174de6bccace2d1cd9717ccd13d935af6d05656a5df69c99d4f989adabe0a23a",
    ("train", 1, 32): "b6a6165c75e2641d06ed2d0dafda61ba7d8a48d313b13576f3f4153222826242",
    ("test", 0, 32): "872cc59c5d2abe664eed5cb4aa2bdc18f35c3eaa4f9e0709b7fa373280072d51",
    ("test", 0, 64): "79893be9941b52e8f9603e8f4dab9d442b8af7b760d457b67ea4708a3f210b55",
}


def fingerprint(room: Room) -> str:
    arrays = b"".join(array.tobytes() for array in (room.image, room.segmentation, room.layout))
    return sha256(arrays + f"{room.label} {room.caption}".encode()).hexdigest()


@pytest.fixture(scope="module")
def rooms() -> list[Room]:
    return [render_room("train", index) for index in range(300)]


def test_same_arguments_give_the_same_bytes() -> None:
    assert fingerprint(render_room("train", 7, 32, 3)) == fingerprint(render_room("train", 7, 32, 3))


@pytest.mark.parametrize("other", [("train", 8, 32, 3), ("test", 7, 32, 3), ("train", 7, 32, 4)])
def test_another_index_split_or_seed_is_another_room(other: tuple[str, int, int, int]) -> None:
    assert not np.array_equal(render_room(*other).image, render_room("train", 7, 32, 3).image)


@pytest.mark.parametrize(("split", "index", "size"), FINGERPRINTS)
def test_the_world_has_not_changed(split: str, index: int, size: int) -> None:
    assert fingerprint(render_room(split, index, size)) == FINGERPRINTS[split, index, size]


def test_rooms_of_a_split_are_all_different(rooms: list[Room]) -> None:
    assert len({room.image.tobytes() for room in rooms}) == len(rooms)


@pytest.mark.parametrize("index", range(20))
def test_both_sizes_show_the_same_room(index: int) -> None:
    small, large = render_room("test", index, 32), render_room("test", index, 64)
    averaged = large.image.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    # Both are sampled means of one picture and differ by the sampling of edges; other rooms differ by far more.
    assert np.abs(averaged - small.image).mean() < 2.5
    assert np.abs(averaged - render_room("test", index + 1, 32).image).mean() > 10
    assert (small.caption, small.label) == (large.caption, large.label)
    for little, big in ((small.segmentation, large.segmentation), (small.layout, large.layout)):
        agreeing = (big.reshape(32, 2, 32, 2) == little[:, None, :, None]).all(axis=(1, 3))
        assert agreeing.mean() > 0.75


def test_arrays_have_the_promised_types_and_ranges(rooms: list[Room]) -> None:
    for room in rooms:
        assert room.image.dtype == room.segmentation.dtype == room.layout.dtype == np.uint8
        assert room.image.shape == (32, 32, 3)
        assert room.segmentation.shape == room.layout.shape == (32, 32)
        assert 0 <= room.label < len(ROOM_CLASSES)


def test_every_class_occurs(rooms: list[Room]) -> None:
    assert {value for room in rooms for value in np.unique(room.segmentation)} == set(range(len(SEGMENTATION_CLASSES)))
    assert {value for room in rooms for value in np.unique(room.layout)} == set(range(len(LAYOUT_CLASSES)))
    assert {room.label for room in rooms} == set(range(len(ROOM_CLASSES)))


@pytest.mark.parametrize("split", ["train", "test"])
def test_classes_are_balanced(split: str) -> None:
    n, p = 1200, 1 / len(ROOM_CLASSES)
    counts = np.bincount([draw_scene(split, index).bed.paint for index in range(n)], minlength=len(ROOM_CLASSES))
    assert np.abs(counts - n * p).max() < 4.5 * sqrt(n * p * (1 - p))


def test_splits_have_the_same_distribution() -> None:
    n = 600
    present = [
        np.array([[thing is not None for thing in draw_scene(split, i)[3:7]] for i in range(n)]).mean(axis=0)
        for split in ("train", "test")
    ]
    assert np.abs(present[0] - present[1]).max() < 4.5 * sqrt(2 * 0.25 / n)
    assert (np.stack(present) > 0.5).all()
    assert (np.stack(present) < 0.9).all()


def test_captions_name_what_is_seen_and_nothing_else(rooms: list[Room]) -> None:
    for room in rooms:
        for name in OBJECTS:
            seen = np.count_nonzero(room.segmentation == SEGMENTATION_CLASSES.index(name))
            assert seen >= 3 if f" {name}" in room.caption else seen == 0, (room.caption, name, seen)


def test_captions_name_the_class_and_a_wall_colour(rooms: list[Room]) -> None:
    for room in rooms:
        assert room.caption.startswith("a bedroom ")
        assert f"a {ROOM_CLASSES[room.label]}" in room.caption
        assert sum(f"{paint.name} walls" in room.caption for paint in WALL_PAINTS) == 1


@pytest.mark.parametrize("name", ["window", "picture"])
def test_captions_name_the_wall_a_thing_hangs_on(rooms: list[Room], name: str) -> None:
    walls = dict(zip(("back", "left", "right"), (0, 1, 2), strict=True))
    for room in rooms:
        for word, wall in walls.items():
            if f"{name} on the {word} wall" in room.caption:
                behind = room.layout[room.segmentation == SEGMENTATION_CLASSES.index(name)]
                assert np.bincount(behind, minlength=5).argmax() == wall


def test_the_bed_is_large_and_its_colour_tells_the_class(rooms: list[Room]) -> None:
    hues = {"red": 0.0, "yellow": 0.13, "green": 0.35, "blue": 0.6, "purple": 0.78}
    right = 0
    for room in rooms:
        pixels = room.image[room.segmentation == BED] / 255
        assert len(pixels) > 40
        colours = np.array([rgb_to_hsv(*pixel) for pixel in pixels])
        vivid = colours[colours[:, 1] > 0.35]
        vivid = vivid[(vivid[:, 0] < 0.03) | (vivid[:, 0] > 0.11)]  # the wood of the bed lies between
        if len(vivid) < 0.2 * len(pixels):
            guess = "white"
        else:
            circle = np.exp(2j * np.pi * vivid[:, 0]).mean()
            guess = min(hues, key=lambda name: abs(circle / abs(circle) - np.exp(2j * np.pi * hues[name])))
        right += ROOM_CLASSES[room.label] == f"{guess} bed"
    assert right > 0.95 * len(rooms)


@pytest.mark.parametrize("arguments", [("", 0, 32, 0), ("train", -1, 32, 0), ("train", 0, 4, 0), ("train", 0, 32, -1)])
def test_arguments_out_of_range_are_refused(arguments: tuple[str, int, int, int]) -> None:
    with pytest.raises(ValueError, match="A room needs"):
        render_room(*arguments)
