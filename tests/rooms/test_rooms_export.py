"""Exports read back: the same arrays, the layout of LSUN, and refusals that leave nothing behind."""

import csv
from hashlib import sha1
from io import BytesIO
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import LSUN

from dis_lightning.errors import UnusablePathError
from dis_lightning.rooms import ROOM_CLASSES, render_room, write_folder, write_lmdb
from dis_lightning.rooms.__main__ import main


def stored(folder: Path) -> list[tuple[str, bytes]]:
    with lmdb.open(str(folder), readonly=True, lock=False) as environment, environment.begin() as transaction:
        return [(key.decode(), value) for key, value in transaction.cursor()]


def decoded(value: bytes) -> np.ndarray:
    return np.array(Image.open(BytesIO(value)))


def test_a_folder_reads_back_as_the_same_rooms(tmp_path: Path) -> None:
    write_folder(tmp_path / "rooms", 3, "val", 32, 5)
    with (tmp_path / "rooms" / "captions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    for index, row in enumerate(rows):
        room = render_room("val", index, 32, 5)
        for name, array in (("images", room.image), ("segmentation", room.segmentation), ("layout", room.layout)):
            with Image.open(tmp_path / "rooms" / name / f"{index:05d}.png") as picture:
                assert picture.mode == ("RGB" if name == "images" else "P")
                assert np.array_equal(np.array(picture), array)
        assert row == {
            "index": str(index),
            "label": str(room.label),
            "class": ROOM_CLASSES[room.label],
            "caption": room.caption,
        }


def test_the_image_folder_holds_nothing_but_images(tmp_path: Path) -> None:
    write_folder(tmp_path, 2, size=32)
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == ["00000.png", "00001.png"]


def test_palettes_colour_every_class_differently(tmp_path: Path) -> None:
    write_folder(tmp_path, 1, size=32)
    for name, classes in (("segmentation", 8), ("layout", 5)):
        with Image.open(tmp_path / name / "00000.png") as picture:
            palette = np.array(picture.getpalette()).reshape(-1, 3)
        assert len(np.unique(palette[:classes], axis=0)) == classes


def test_a_lossless_lmdb_holds_the_same_images_under_hashed_keys(tmp_path: Path) -> None:
    write_lmdb(tmp_path / "bedroom_val_lmdb", 8, "val", 32, 5)
    entries = stored(tmp_path / "bedroom_val_lmdb")
    index_of = {sha1(f"5/val/{index}".encode()).hexdigest(): index for index in range(8)}
    assert {key for key, _ in entries} == set(index_of)
    assert [index_of[key] for key, _ in entries] != list(range(8))
    for key, value in entries:
        assert value[8:12] == b"WEBP"
        assert np.array_equal(decoded(value), render_room("val", index_of[key], 32, 5).image)


def test_a_jpeg_lmdb_holds_nearly_the_same_images(tmp_path: Path) -> None:
    write_lmdb(tmp_path / "lmdb", 2, "val", 64, 5, "jpeg")
    index_of = {sha1(f"5/val/{index}".encode()).hexdigest(): index for index in range(2)}
    for key, value in stored(tmp_path / "lmdb"):
        assert value[:2] == b"\xff\xd8"
        error = decoded(value) - render_room("val", index_of[key], 64, 5).image.astype(float)
        assert 0 < np.sqrt((error**2).mean()) < 8


# torchvision leaves the file of its own cache open
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_torchvision_reads_the_lmdb_as_lsun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # its reader leaves a cache in the working directory
    write_lmdb(tmp_path / "bedroom_val_lmdb", 3, "val", 32)
    data = LSUN(str(tmp_path), classes=["bedroom_val"])
    expected = {render_room("val", index, 32).image.tobytes() for index in range(3)}
    assert {np.array(data[position][0]).tobytes() for position in range(len(data))} == expected
    data.dbs[0].env.close()


@pytest.mark.parametrize("write", [write_folder, write_lmdb])
def test_a_target_with_something_in_it_is_refused(tmp_path: Path, write: object) -> None:
    assert callable(write)
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UnusablePathError, match="not an empty folder"):
        write(tmp_path, 1)
    with pytest.raises(UnusablePathError, match="not an empty folder"):
        write(tmp_path / "mine.txt", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("write", [write_folder, write_lmdb])
@pytest.mark.parametrize("wrong", [{"num_images": 0}, {"split": ""}, {"size": 1}, {"seed": -1}])
def test_bad_arguments_leave_nothing_behind(tmp_path: Path, write: object, wrong: dict[str, object]) -> None:
    assert callable(write)
    with pytest.raises(ValueError, match="needs"):
        write(tmp_path / "new", **{"num_images": 1, **wrong})
    assert not (tmp_path / "new").exists()


def test_an_unknown_image_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="webp"):
        write_lmdb(tmp_path, 1, image_format="png")  # type: ignore[arg-type]


def test_the_command_line_writes_both_and_takes_either_spelling(tmp_path: Path) -> None:
    here, there = str(tmp_path / "a-folder"), str(tmp_path / "lmdb")
    main(["export", "--folder", here, f"--lmdb={there}", "--num-images", "2", "--size=32", "--image_format=webp"])
    assert len(list((tmp_path / "a-folder" / "images").iterdir())) == 2
    images = {decoded(value).tobytes() for _, value in stored(tmp_path / "lmdb")}
    assert images == {render_room("test", index, 32).image.tobytes() for index in range(2)}


def test_the_command_line_needs_a_target() -> None:
    with pytest.raises(SystemExit, match=r"dis_lightning\.rooms: export needs a target: --folder"):
        main(["export"])
