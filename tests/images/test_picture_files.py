"""Files of pictures: which are found in a folder, and what is read from one."""

import io
import os
import struct
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image, ImageFile

from dis_lightning.errors import InvalidValueError, MissingPackageError, UnusablePathError
from dis_lightning.files import expanded
from dis_lightning.images.files import find_files, is_above, open_picture


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_what_is_hidden_or_no_picture_by_its_name_is_passed_over(tmp_path: Path) -> None:
    pictures = ["a.png", "b.JPEG", "c", "d.jpg_large", "readme.png", "text.csv/e.png", "txt"]
    others = ["labels.csv", "LICENSE", "LICENSE.txt", "README.md", "Thumbs.db", "x/desktop.ini", "y.JSON", "z.tar.gz"]
    touch(tmp_path, *pictures, *others, ".DS_Store", ".ipynb_checkpoints/a.png", "mask.npy")
    os.mkfifo(tmp_path / "pipe.png")  # which would be waited for
    assert find_files(tmp_path) == pictures
    assert find_files(tmp_path, also=(".npy",)) == sorted([*pictures, "mask.npy"])


def test_links_to_folders_above_are_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "images"
    touch(root, "a.png", "below/b.png")
    touch(tmp_path, "outside.png")
    for link, target in {"self": ".", "below/up": "..", "below/here": ".", "out": "..", "below/absolute": root}.items():
        (root / link).symlink_to(target, target_is_directory=True)
    assert find_files(root) == ["a.png", "below/b.png"]
    assert find_files(root / "self") == ["a.png", "below/b.png"]


def test_folders_that_link_to_each_other_end(tmp_path: Path) -> None:
    for name in "abcd":
        touch(tmp_path, f"{name}/{name}.png")
        for other in "abcd":
            (tmp_path / name / f"to_{other}").symlink_to(f"../{other}", target_is_directory=True)
    assert find_files(tmp_path) == ["a/a.png", "b/b.png", "c/c.png", "d/d.png"]
    (tmp_path / "loop").symlink_to("loop")  # to nothing but itself: a file that cannot be read
    assert find_files(tmp_path)[-1] == "loop"


def test_a_file_counts_once_by_the_name_with_the_fewest_links(tmp_path: Path) -> None:
    touch(tmp_path, "root/z/0.png", "elsewhere/1.png")
    root = tmp_path / "root"
    (root / "a.png").symlink_to("z/0.png")
    (root / "b").symlink_to("z", target_is_directory=True)
    (root / "d").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (root / "c").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert find_files(root) == ["c/1.png", "z/0.png"]


def test_the_order_does_not_depend_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "z/0.png", "a/1.png", "10.png", "2.png")
    (tmp_path / "b").symlink_to("a", target_is_directory=True)
    expected = find_files(tmp_path)
    scandir = os.scandir

    class Backwards:
        def __init__(self, folder: str) -> None:
            with scandir(folder) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", Backwards)
    assert find_files(tmp_path) == expected == ["10.png", "2.png", "a/1.png", "z/0.png"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "closed/a.png")
    scandir = os.scandir

    def refuse(folder: str) -> object:
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UnusablePathError, match=r"folder \S*closed cannot be read: Permission denied; get the right"):
        find_files(tmp_path)


def test_a_folder_is_above_what_lies_in_it(tmp_path: Path) -> None:
    touch(tmp_path, "a/b/c", "ab/c")
    assert is_above(tmp_path / "a", tmp_path / "a" / "b")
    assert is_above(tmp_path / "a", tmp_path / "a")
    assert is_above("/", tmp_path)
    assert not is_above(tmp_path / "a" / "b", tmp_path / "a")
    assert not is_above(tmp_path / "a", tmp_path / "ab")


def test_a_tilde_is_the_home_folder_and_one_of_nobody_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert expanded("~/x") == Path("/home/somebody/x")
    assert expanded("~nobody_of_that_name/x") == Path("~nobody_of_that_name/x")


def exif(*entries: tuple[int, int, int, bytes], offset: int = 8) -> bytes:
    """A TIFF header with entries: tag, type, count, value or its place."""
    table = b"".join(struct.pack("<HHI", tag, kind, count) + value for tag, kind, count, value in entries)
    return b"II*\0" + struct.pack("<I", offset) + struct.pack("<H", len(entries)) + table + bytes(4)


def short(value: int) -> bytes:
    return struct.pack("<HH", value, 0)


def long(value: int) -> bytes:
    return struct.pack("<I", value)


TURNED = (0x0112, 3, 1, short(6))
ODD = {
    "letters for a unit": exif(TURNED, (0x0128, 7, 4, b"abcd")),
    "letters for a resolution": exif(TURNED, (0x011A, 2, 4, b"abc\0")),
    "a fraction for a width": exif(TURNED, (0x0100, 11, 1, struct.pack("<f", 2.5))),
    "two values for one": exif(TURNED, (0x0100, 3, 2, short(6))),
    "a value beyond the end": exif(TURNED, (0x010F, 2, 50, long(5000))),
    "a value of 2 GB": exif(TURNED, (0x010F, 2, 2**31, long(26))),
    "no such type": exif(TURNED, (0x010F, 99, 1, long(5))),
    "a table beyond the end": exif(TURNED, (0x8769, 4, 1, long(9999))),
    "a table in itself": exif(TURNED, (0x8769, 4, 1, long(8))),
    "letters for a table": exif(TURNED, (0x8825, 2, 4, b"abc\0")),
}


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_a_photo_with_an_odd_tag_is_read_and_turned_upright(odd: bytes, form: str) -> None:
    stream, plain = io.BytesIO(), io.BytesIO()
    pixels = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6) * 10).convert("RGB")
    pixels.save(stream, form, exif=(b"Exif\0\0" if form == "JPEG" else b"") + odd)
    pixels.save(plain, form)
    truth = np.rot90(np.asarray(Image.open(plain)), -1)
    assert np.array_equal(np.asarray(open_picture(stream)), truth)


@pytest.mark.parametrize(
    "damaged",
    [b"no header", exif(offset=2**32 - 1), exif(TURNED)[:20], exif((0x0112, 3, 1, short(0)))],
    ids=["no TIFF", "no table", "cut off", "no orientation"],
)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_photo_whose_tags_say_nothing_of_orientation_is_read_as_it_is(damaged: bytes, form: str) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (6, 4)).save(stream, form, exif=(b"Exif\0\0" if form == "JPEG" else b"") + damaged)
    assert open_picture(stream).size == (6, 4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_are_turned_upright_as_pillow_does_it(orientation: int) -> None:
    stream = io.BytesIO()
    tags = Image.Exif()
    tags[0x0112] = orientation
    Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6)).save(stream, "PNG", exif=tags)
    from PIL import ImageOps

    truth = ImageOps.exif_transpose(Image.open(stream))
    assert np.array_equal(np.asarray(open_picture(stream)), np.asarray(truth))


def test_avif_is_read() -> None:
    stream, pixels = io.BytesIO(), np.full((16, 16, 3), (200, 100, 50), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, "AVIF", quality=100)
    stream.seek(0)
    assert np.abs(np.asarray(open_picture(stream)).astype(int) - pixels).max() <= 4


HEIC = struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"mif1heic" + bytes(40)


def test_heic_names_the_plugin_that_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'dis-lightning\[heic\]'"):
        open_picture(io.BytesIO(HEIC))


def test_heic_is_read_where_the_plugin_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Twin(ImageFile.ImageFile):
        """Every HEIC is red."""

        format = "TWIN OF HEIC"

        def _open(self) -> None:
            self._mode, self._size = "RGB", (3, 2)

        def load(self) -> object:
            self.im = Image.new("RGB", (3, 2), "red").im
            return super().load()

    plugin = ModuleType("pillow_heif")
    plugin.register_heif_opener = (
        lambda: Image.register_open(  # type: ignore[attr-defined]
            Twin.format, Twin, lambda head: head[4:12] == b"ftypheic"
        )
    )
    monkeypatch.setitem(sys.modules, "pillow_heif", plugin)
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    assert np.asarray(open_picture(io.BytesIO(HEIC))).tolist() == [[[255, 0, 0]] * 3] * 2


@pytest.mark.parametrize("content", [b"", b"index,caption\n", b"\0" * 40])
def test_what_is_no_picture_says_so(content: bytes) -> None:
    with pytest.raises(InvalidValueError, match="it is no picture of a format that Pillow knows"):
        open_picture(io.BytesIO(content))


def test_a_file_may_count_under_each_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "0.png").touch()
    (tmp_path / "1.png").symlink_to("0.png")
    (tmp_path / "below").symlink_to(tmp_path)
    assert find_files(tmp_path) == ["0.png"]
    assert find_files(tmp_path, by_name=True) == ["0.png", "1.png"]
