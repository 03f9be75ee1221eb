"""The pictures of a run folder, as they are read from it."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["CLASSES", "read_legend", "read_pixels"]

CLASSES = "classes"
"""Under which name a map of classes holds theirs, one a line."""


def read_pixels(file: Path) -> npt.NDArray[np.uint8]:
    """Read an image as 8 bit, `(3, H, W)`, or `(1, H, W)` where it is grey."""
    with Image.open(file) as image:
        pixels = np.array(image if image.mode == "L" else image.convert("RGB"))
    return pixels.reshape(*pixels.shape[:2], -1).transpose(2, 0, 1)


def read_legend(file: Path) -> dict[str, tuple[int, ...]]:
    """Names and colours of the classes in a map of classes; none of any other picture."""
    with Image.open(file) as image:
        names, palette = image.info.get(CLASSES), image.getpalette()
        if names is None or palette is None:
            return {}
        found = np.unique(np.asarray(image)).tolist()
    return {names.split("\n")[label]: tuple(palette[3 * label : 3 * label + 3]) for label in found}
