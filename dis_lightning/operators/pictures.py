"""Pictures of measurements that are no pictures: maps of classes in colour, and words."""

import colorsys
import textwrap

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from dis_lightning.images import dequantise

__all__ = ["distinct_colours", "painted", "written"]

GOLDEN = (5**0.5 - 1) / 2
HUES, STEP = 12, 17
"""How many colours are chosen by their hue, and the spacing of the grid of all others."""
SIDE, LETTER, MARGIN = 256, 26, 12
"""Side of a written picture, height of its letters and width of its margin, in pixels."""


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


def written(texts: list[str]) -> Tensor:
    """Words as pictures, dark on white, `(B, 3, 256, 256)`, in [-1, 1]; what does not fit is cut off."""
    font = ImageFont.load_default(LETTER)
    letters = int((SIDE - 2 * MARGIN) / font.getlength("n"))
    pictures = []
    for text in texts:
        page = Image.new("RGB", (SIDE, SIDE), "white")
        lines = textwrap.fill(text, letters)
        ImageDraw.Draw(page).multiline_text((MARGIN, MARGIN), lines, fill=(30, 30, 30), font=font, spacing=6)
        pictures.append(torch.from_numpy(np.array(page)).permute(2, 0, 1))
    return dequantise(torch.stack(pictures))
