"""Pictures as data URIs, so that a page needs no other file.

A picture of a run folder goes into the page byte by byte. Where all pictures of a page would be too heavy to mail, they
are shrunk and encoded as WebP instead; the page says so.
"""

import base64
import io
import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from PIL import Image

__all__ = ["Encoder", "Picture", "choose_encoder", "colour"]

BUDGET = 9_000_000
"""Bytes of pictures in a page; as text they take 4 / 3 of it, and mail is commonly refused above 20 MB."""

SIDE = 128
"""Shortest that the longest side of a picture is shrunk to, in pixels."""


class Picture(NamedTuple):
    """A picture of a page."""

    uri: str
    """All of it, as a data URI."""
    title: str
    """What it shows."""
    width: int
    """In pixels, before any shrinking."""
    height: int
    """In pixels, before any shrinking."""


@dataclass(frozen=True)
class Encoder:
    """Turn pictures into data URIs.

    Args:
        side: longest side of a picture in pixels, to save space at the price of detail; None for pictures as they are.
    """

    side: int | None

    def file(self, path: Path, title: str) -> Picture:
        """Encode a PNG file.

        Args:
            path: the file.
            title: what it shows.
        """
        with Image.open(path) as image:
            if self.side is not None:
                return self._shrunk(image.convert("RGB"), self.side, title)
            return Picture(_uri("png", path.read_bytes()), title, *image.size)

    def array(self, pixels: np.ndarray, title: str) -> Picture:
        """Encode 8-bit pixels.

        Args:
            pixels: `(H, W, 3)`.
            title: what they show.
        """
        image = Image.fromarray(pixels)
        if self.side is not None:
            return self._shrunk(image, self.side, title)
        buffer = io.BytesIO()
        image.save(buffer, format="PNG", optimize=True)
        return Picture(_uri("png", buffer.getvalue()), title, *image.size)

    def _shrunk(self, image: Image.Image, side: int, title: str) -> Picture:
        small = image.copy()
        small.thumbnail((side, side), Image.Resampling.BOX)
        buffer = io.BytesIO()
        small.save(buffer, format="WEBP", quality=85)
        return Picture(_uri("webp", buffer.getvalue()), title, *image.size)


def choose_encoder(files: Collection[Path], drawn: float) -> Encoder:
    """Keep pictures as they are where a page with all of them can be mailed; shrink them no more than needed.

    Args:
        files: the pictures.
        drawn: how many more are computed from them, as a share of the files.
    """
    if sum(file.stat().st_size for file in files) * (1 + drawn) <= BUDGET:
        return Encoder(side=None)
    # A pixel of noise takes less than a byte, any other one a small part of it.
    return Encoder(side=max(SIDE, math.isqrt(int(BUDGET / (len(files) * (1 + drawn))))))


def colour(values: np.ndarray, largest: float) -> np.ndarray:
    """Colour a map, dark for 0 and bright for `largest`.

    Args:
        values: `(H, W)`, >= 0.
        largest: the value of the brightest colour, > 0.

    Returns:
        8-bit pixels, `(H, W, 3)`.
    """
    return matplotlib.colormaps["magma"](values / largest, bytes=True)[..., :3]


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
