"""Which number the class of an image has: by the name of its folder, or by a file of labels.

Published networks count the 1,000 classes of ImageNet in the order of their WordNet ids, from 0. The development kit of
ILSVRC-2012 counts the same classes in an order of its own, from 1; nothing but its own table says which is which.
"""

import csv
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from scipy.io import loadmat  # type: ignore[import-untyped]

from dis_lightning.data.synsets import imagenet_classes, imagenet_numbers
from dis_lightning.errors import InvalidValueError, MissingFileError

__all__ = ["Labels", "folder_labels", "read_labels"]

OFFICIAL = re.compile(r"ILSVRC2012_val_(\d{8})")
"""Names of the validation images, which count from 1."""
ENDING = re.compile(r"\.(avif|bmp|gif|hei[cf]|jpe?g|png|tiff?|webp)$", re.IGNORECASE)


class Labels(NamedTuple):
    """Labels, and what they count."""

    numbers: list[int]
    """One for each folder or image."""
    classes: tuple[str, ...] | None
    """Names of the classes 0 .. len - 1; None where numbers were given and nobody said what they count."""


def folder_labels(names: Sequence[str]) -> Labels:
    """The labels of class folders, one each.

    WordNet ids of published classes are counted as published networks do, and numbers stand for themselves. Otherwise a
    label is the position among all folders.

    Args:
        names: names of the folders, sorted.
    """
    published = imagenet_numbers()
    if published.keys() >= set(names):
        return Labels([published[name] for name in names], imagenet_classes())
    if all(_is_number(name) for name in names):
        return Labels([int(name) for name in names], None)
    return Labels(list(range(len(names))), tuple(names))


def read_labels(file: Path, images: Sequence[str]) -> Labels:
    """The labels of images, one each, from a file with a line for each image.

    | a line | means |
    |---|---|
    | `ILSVRC2012_val_00000001.JPEG n01751748` | name and WordNet id; the name with or without its folders and ending |
    | `ILSVRC2012_val_00000001.JPEG 65` | name and the number by which the prior knows the class |
    | `ILSVRC2012_val_00000001,n01751748 111 108 ...` | the same with a comma, as Kaggle's `LOC_val_solution.csv` |
    | `n01751748` | WordNet id of the next image, in the order of the names |
    | `490` | the development kit's number of the next image; needs its `meta.mat` or `map_clsloc.txt` beside the file |

    Lines without names belong to `ILSVRC2012_val_00000001` and on, or to as many images of other names as there are
    lines.

    Args:
        file: the file.
        images: names of the images, sorted.

    Raises:
        FileNotFoundError: if there is no such file, or no table of the development kit beside it.
        ValueError: if a line cannot be understood, or if an image has no line or several that differ.
    """
    if not file.is_file():
        raise MissingFileError(
            f"There is no file of labels {file}; set --data.label_file to one, a line for each image."
        )
    rows = _rows(file)
    return _by_name(file, rows, images) if rows[0].name else _in_order(file, rows, images)


class _Row(NamedTuple):
    """A line of a file of labels: its number, the image's name where there is one, and the class."""

    line: int
    name: str
    word: str


def _rows(file: Path) -> list[_Row]:
    try:
        lines = list(enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1))
    except ValueError as error:
        raise InvalidValueError(f"{file} is no text of labels: {error}. Write it as UTF-8.") from error
    rows = [_row(number, line) for number, line in lines if line.strip()]
    if len(rows) > 1 and rows[0].name and not (_is_number(rows[0].word) or rows[0].word in imagenet_numbers()):
        rows = rows[1:]  # a head, as `ImageId,PredictionString`
    if not rows or len({bool(row.name) for row in rows}) > 1:
        raise InvalidValueError(f"{file} must hold a line for each image, all of them with its name or all without.")
    return rows


def _row(number: int, line: str) -> _Row:
    if "," in line:
        name, *rest = next(csv.reader([line], skipinitialspace=True))
        return _Row(number, name.strip(), (" ".join(rest).split() or [""])[0])
    *names, word = line.strip().rsplit(None, 1)
    return _Row(number, names[0] if names else "", word)


def _in_order(file: Path, rows: list[_Row], images: Sequence[str]) -> Labels:
    if all(_is_number(row.word) for row in rows):
        ids = _development_kit(file)
        rows = [row._replace(word=ids.get(int(row.word), row.word)) for row in rows]
    published = imagenet_numbers()
    for row in rows:
        if row.word not in published:
            raise InvalidValueError(
                f"{file}, line {row.line}: {row.word} is no class of ILSVRC-2012; write its WordNet id (n01440764)."
            )
    official = [OFFICIAL.search(name) for name in images]
    lines = [int(found[1]) - 1 for found in official if found]
    if len(lines) < len(images):
        lines = list(range(len(images)))
        if len(images) != len(rows):
            raise InvalidValueError(
                f"{file} has {len(rows)} lines without names, but there are {len(images)} images, so that nobody knows "
                "whose they are; write a name and a class in each line."
            )
    if not all(0 <= line < len(rows) for line in lines):
        raise InvalidValueError(f"{file} has {len(rows)} lines, too few for {images[lines.index(max(lines))]}.")
    return Labels([published[rows[line].word] for line in lines], imagenet_classes())


def _by_name(file: Path, rows: list[_Row], images: Sequence[str]) -> Labels:
    published = imagenet_numbers()
    known = dict[str, int]()
    for row in rows:
        if row.word not in published and not _is_number(row.word):
            raise InvalidValueError(
                f"{file}, line {row.line}: a class must be a WordNet id of ILSVRC-2012 (n01440764) or a number, but it "
                f"has {row.word or 'none'}."
            )
        number = published[row.word] if row.word in published else int(row.word)
        if known.setdefault(_key(row.name), number) != number:
            raise InvalidValueError(f"{file}, line {row.line}: {row.name} has two classes; leave one.")
    by_id = all(row.word in published for row in rows)
    if not by_id and (min(known.values()), max(known.values())) == (1, len(published)):
        raise InvalidValueError(
            f"{file} counts classes from 1 to {len(published)}, as the development kit of ILSVRC-2012 does in an order "
            "of its own; write WordNet ids, or numbers from 0 in the order of the prior."
        )
    if lacking := [name for name in images if _key(name) not in known]:
        raise InvalidValueError(
            f"{file} has no line for {lacking[0]} ({len(lacking)} of {len(images)} images); add what is missing."
        )
    return Labels([known[_key(name)] for name in images], imagenet_classes() if by_id else None)


def _development_kit(file: Path) -> dict[int, str]:
    """The WordNet ids by the development kit's own numbers, from its table beside the file."""
    meta, table = file.with_name("meta.mat"), file.with_name("map_clsloc.txt")
    try:
        if meta.is_file():
            synsets = loadmat(meta, squeeze_me=True)["synsets"]
            return {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
        if table.is_file():
            words = [line.split() for line in table.read_text(encoding="utf-8").splitlines()]
            return {int(number): name for name, number, *_ in words}
    except Exception as error:  # A damaged file fails in any way it likes.
        raise InvalidValueError(
            f"The table of classes beside {file} cannot be read ({error}); unpack the development kit again."
        ) from error
    raise MissingFileError(
        f"{file} holds numbers without names, as the development kit of ILSVRC-2012 does, whose order is not that of "
        "published networks; put its meta.mat (or map_clsloc.txt) beside the file, or write WordNet ids."
    )


def _key(name: str) -> str:
    """An image's name without its folders and the ending of a picture."""
    return ENDING.sub("", PurePosixPath(name).name)


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) < 10  # a class's number, which memory has room for
