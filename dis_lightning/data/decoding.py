"""From an encoded picture to the tensor that a solver sees.

    x_0 = u / 127.5 - 1,    u in 0 .. 255

| stored as | becomes RGB by |
|---|---|
| greyscale | three equal channels |
| 16-bit greyscale | u = round(v / 257), which maps 65535 to 255 |
| 16-bit colour | its upper 8 bits (Pillow reads no more) |
| palette | its colours |
| transparent | the colours beneath; transparency is dropped |
| CMYK and other colour spaces | Pillow's conversion; embedded colour profiles are not applied |
| turned (EXIF orientation) | turned upright |
| several frames | the first |

Pillow finds the format from the bytes; names and endings do not matter.
"""

from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from dis_lightning.errors import InvalidValueError
from dis_lightning.images import dequantise

__all__ = ["decode", "to_tensor"]


def decode(stream: BinaryIO) -> Image.Image:
    """Read a picture as 8-bit RGB.

    Raises:
        Exception: if the bytes are not a whole picture; Pillow's formats raise errors of many kinds.
        ValueError: if the values are real numbers or beyond 16 bit, whose range nobody can know.
    """
    with Image.open(stream) as image:
        upright = ImageOps.exif_transpose(image)
    if upright.mode == "F" or upright.mode.startswith("I"):
        upright = _eight_bit(upright)
    elif upright.mode in ("P", "PA"):
        upright = upright.convert("RGBA")  # Straight to RGB, Pillow warns about transparent colours.
    return upright.convert("RGB")


def to_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """Turn 8-bit pixels `(H, W, 3)` into a float32 tensor `(3, H, W)` in [-1, 1]."""
    return dequantise(torch.from_numpy(pixels).permute(2, 0, 1).contiguous())


def _eight_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
        raise InvalidValueError(f"its values are {values.dtype} from {values.min()} to {values.max()}, not 8 or 16 bit")
    return Image.fromarray(((values.astype(np.int64) + 128) // 257).astype(np.uint8))
