"""Pictures on disk for the tests of the DataModules."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


@pytest.fixture
def random_pixels() -> Callable[..., Pixels]:
    """Random RGB pixels `(height, width, 3)`, other ones at every call."""
    generator = np.random.default_rng(0)

    def draw(width: int = 6, height: int = 4) -> Pixels:
        return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)

    return draw


@pytest.fixture
def save_pictures(random_pixels: Callable[..., Pixels]) -> Callable[..., dict[str, Pixels]]:
    """Write random PNG files of one size below a folder and give their pixels."""

    def save(folder: Path, *names: str, width: int = 6, height: int = 4) -> dict[str, Pixels]:
        pixels = {name: random_pixels(width, height) for name in names}
        for name, values in pixels.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(folder / name, format="PNG")
        return pixels

    return save
