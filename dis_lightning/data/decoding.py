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
| HEIC | as its plug-in decodes it: `pip install 'dis-lightning[heic]'` |

Pillow finds the format from the bytes; names and endings do not matter.
"""

from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dis_lightning.images import dequantise
from dis_lightning.images.files import open_picture

__all__ = ["decode", "to_tensor"]


def decode(stream: BinaryIO) -> Image.Image:
    """Read a picture as 8-bit RGB; errors as for `open_picture`."""
    image = open_picture(stream)
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # Straight to RGB, Pillow warns about transparent colours.
    return image.convert("RGB")


def to_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """Turn 8-bit pixels, `(H, W, 3)` or grey `(H, W)`, into a float32 tensor `(3, H, W)` or `(1, H, W)` in [-1, 1]."""
    channels = torch.from_numpy(pixels).reshape(*pixels.shape[:2], -1)
    return dequantise(channels.permute(2, 0, 1).contiguous())
