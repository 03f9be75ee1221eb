"""Measurements that are words: one text for each image, from the user or from a file."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from dis_lightning.errors import InvalidTypeError, InvalidValueError, UnusablePathError
from dis_lightning.noise import NoiseSource
from dis_lightning.types import Measurement
from dis_lightning.weights import existing_file

__all__ = ["read_texts", "require_texts", "text_of_each", "texts"]


def texts(y: Measurement, number: int) -> list[str]:
    """The measurement as texts, one for each image.

    Args:
        y: what was measured.
        number: number of images.

    Raises:
        TypeError: if it is a tensor.
        ValueError: if there is not one for each image.
    """
    if isinstance(y, Tensor):
        raise InvalidTypeError(
            f"A measurement in words is a list of strings, but got a tensor of shape {tuple(y.shape)}."
        )
    if len(y) != number:
        raise InvalidValueError(f"Each image needs its text, but {number} images and {len(y)} texts came.")
    return y


def read_texts(path: Path) -> tuple[str, ...]:
    """The lines of a file: line i, counted from 0, is the text of image i.

    Raises:
        FileNotFoundError: if there is no such file.
        OSError: if it may not be read.
        ValueError: if it has no lines, or an empty one, or is no text in UTF-8.
    """
    path = existing_file(path, "a text in each line, line i for image i of the data,")
    try:
        lines = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    except UnicodeDecodeError as error:
        raise InvalidValueError(f"{path} is no text in UTF-8 ({error}): write it again as such.") from error
    except OSError as error:
        raise UnusablePathError(f"{path} may not be read ({error.strerror}): change its permissions.") from error
    if not all(lines) or not lines:
        where = f"line {lines.index('') + 1} is empty" if lines else "it is empty"
        raise InvalidValueError(f"{path} must have a text in each line, line i for image i of the data, but {where}.")
    return lines


def require_texts(lines: Sequence[str], images: int) -> None:
    """Refuse a file with fewer lines than there are images.

    Raises:
        ValueError: if it has.
    """
    if images > len(lines):
        raise InvalidValueError(
            f"Each image needs its text, but there are texts for {len(lines)} images and {images} are to come; add "
            f"lines to the file, or take fewer images (--data.num_images={len(lines)})."
        )


def text_of_each(lines: Sequence[str], noise: NoiseSource) -> list[str]:
    """The line of each image, by its index.

    Raises:
        ValueError: if an image has no line.
    """
    indices = noise.indices
    require_texts(lines, 1 + max(indices, default=-1))
    return [lines[index] for index in indices]
