"""Pictures of measurements that are no pictures: maps of classes in colour, and words."""

import colorsys
import math
import textwrap
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from dis_lightning.images import dequantise

__all__ = ["distinct_colours", "painted", "pictured", "written"]

GOLDEN = (5**0.5 - 1) / 2
HUES, STEP = 12, 17
"""How many colours are chosen by their hue, and the spacing of the grid of all others."""
SIDE, LETTERS, MARGIN = 256, (26, 22, 18, 14), 12
"""Side of a written picture, heights that its letters may have and width of its margin, in pixels."""


def distinct_colours(number: int) -> Tensor:
    """Colours that are easy to tell apart, `(number, 3)`, 8 bit.

    The first are hues a golden section apart, in three brightnesses. After them comes, each time, the colour of a grid
    that is farthest from all before it: 150 colours are at least 47 levels apart, as Euclidean distance in RGB.
    """
    hues = range(min(number, HUES))
    first = [colorsys.hsv_to_rgb(k * GOLDEN % 1, (0.55, 0.8)[k % 2], (0.95, 0.75, 0.5)[k % 3]) for k in hues]
    colours = list((torch.tensor(first).reshape(-1, 3) * 255).round().int())
    grid = torch.cartesian_prod(*3 * [torch.arange(0, 256, STEP, dtype=torch.int32)])
    distances = torch.full((len(grid),), 3 * 256**2)
    for place in range(number):
        if place == len(colours):
            colours.append(grid[distances.argmax()])
        distances = distances.minimum((grid - colours[place]).square().sum(dim=1))
    return torch.stack(colours).to(torch.uint8)


def painted(labels: Tensor, palette: Tensor) -> Tensor:
    """Maps of classes in their colours.

    Args:
        labels: classes, `(B, H, W)`, in 0 .. K - 1.
        palette: colours, `(K, 3)`, 8 bit.

    Returns:
        Images, `(B, 3, H, W)`, in [-1, 1].
    """
    return dequantise(palette.to(labels.device)[labels.long()].permute(0, 3, 1, 2))


def pictured(values: Tensor) -> Tensor:
    """Numbers of any kind as pictures.

    One or three channels stay as they are, others become their mean, and a vector is wrapped, row by row, to what is
    nearly a square. Complex numbers are shown by their absolute values. Where numbers lie beyond [-1, 1], they are
    scaled to it, by the range of each image.

    Args:
        values: `(B, C, H, W)`, `(B, H, W)`, `(B, M)` or `(B,)`.

    Returns:
        Images, `(B, 3, h, w)` or `(B, 1, h, w)`, in [-1, 1].
    """
    values = (values.abs() if values.is_complex() else values).float()
    if values.ndim < 3:
        vectors = values.reshape(len(values), -1)
        width = math.isqrt(vectors.shape[1] - 1) + 1
        height = -(-vectors.shape[1] // width)
        values = F.pad(vectors, (0, height * width - vectors.shape[1]), value=torch.nan).unflatten(1, (height, width))
    images = values.unsqueeze(1) if values.ndim == 3 else values.flatten(1, -3)
    if images.shape[1] not in (1, 3):
        images = images.mean(dim=1, keepdim=True)
    flat = images.flatten(1)
    low = flat.where(flat.isfinite(), torch.inf).amin(dim=1)
    high = flat.where(flat.isfinite(), -torch.inf).amax(dim=1)
    beyond = (low < -1) | (high > 1)
    middle = torch.where(beyond, (low + high) / 2, 0.0)
    half = torch.where(beyond, (high - low) / 2, 1.0).clamp(min=torch.finfo(images.dtype).tiny)
    scaled = (images - middle[:, None, None, None]) / half[:, None, None, None]
    return scaled.nan_to_num(nan=-1.0).clamp(-1, 1)


def written(texts: list[str]) -> Tensor:
    """Words as pictures, dark on white, `(B, 3, 256, 256)`, in [-1, 1].

    Long texts have smaller letters; what does not fit in the smallest is cut off.
    """
    pictures = []
    for text in texts:
        page = Image.new("RGB", (SIDE, SIDE), "white")
        draw = ImageDraw.Draw(page)
        for size in LETTERS:
            font = ImageFont.load_default(size)
            lines = textwrap.fill(text, int((SIDE - 2 * MARGIN) / font.getlength("n")))
            style: dict[str, Any] = {"font": font, "spacing": size // 4}
            if draw.multiline_textbbox((MARGIN, MARGIN), lines, **style)[3] <= SIDE - MARGIN:
                break
        draw.multiline_text((MARGIN, MARGIN), lines, fill=(30, 30, 30), **style)
        pictures.append(torch.from_numpy(np.array(page)).permute(2, 0, 1))
    return dequantise(torch.stack(pictures))
