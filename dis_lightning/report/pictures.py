"""Pictures as data URIs, so that a page needs no other file.

A picture of a run folder goes into the page byte by byte. Where all pictures of a page would be too heavy to mail, they
are shrunk to 128 pixels and encoded as WebP instead; the page says so.
"""

import base64
import io
from collections.abc import Iterable
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
"""Longest side of a picture that was shrunk, in pixels."""


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
        shrink: whether to save space, at the price of detail.
    """

    shrink: bool

    def file(self, path: Path, title: str) -> Picture:
        """Encode a PNG file.

        Args:
            path: the file.
            title: what it shows.
        """
        with Image.open(path) as image:
            if self.shrink:
                return self._shrunk(image.convert("RGB"), title)
            return Picture(_uri("png", path.read_bytes()), title, *image.size)

    def array(self, pixels: np.ndarray, title: str) -> Picture:
        """Encode 8-bit pixels.

        Args:
            pixels: `(H, W, 3)`.
            title: what they show.
        """
        image = Image.fromarray(pixels)
        if self.shrink:
            return self._shrunk(image, title)
        buffer = io.BytesIO()
        image.save(buffer, format="PNG", optimize=True)
        return Picture(_uri("png", buffer.getvalue()), title, *image.size)

    def _shrunk(self, image: Image.Image, title: str) -> Picture:
        small = image.copy()
        small.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
        buffer = io.BytesIO()
        small.save(buffer, format="WEBP", quality=85)
        return Picture(_uri("webp", buffer.getvalue()), title, *image.size)


def choose_encoder(files: Iterable[Path], drawn: float) -> Encoder:
    """Keep pictures as they are where a page with all of them can be mailed.

    Args:
        files: the pictures.
        drawn: how many more are computed from them, as a share of the files' bytes.
    """
    return Encoder(shrink=sum(file.stat().st_size for file in files) * (1 + drawn) > BUDGET)


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
