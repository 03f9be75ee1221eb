"""Inpainting with a mask that somebody made; see `dis_lightning.operators.inpainting`."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dis_lightning.errors import InvalidValueError, MissingFileError
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.inpainting import Inpainting

__all__ = ["MaskInpainting"]


class MaskInpainting(Inpainting):
    """A mask from a file, the same for all images.

    Args:
        file: a picture (seen where it is brighter than half), or a `.npy` array (seen where it is not 0) of shape
            `(H, W)`, perhaps with further axes of length 1.
        noise_std: standard deviation of the noise on `y`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file cannot be read or has numbers that are not finite, if the mask is no single map or hides
            all, or, when measuring, has not the size of the images.
    """

    seen: Tensor

    def __init__(self, file: str, noise_std: float = 0.0) -> None:
        super().__init__(noise_std, per_image=False)
        self.file = file
        self.register_buffer("seen", _read(Path(file)), persistent=False)

    def masks(self, height: int, width: int, noise: NoiseSource | None = None) -> Tensor:
        """See `Inpainting.masks`."""
        if self.seen.shape != (height, width):
            raise InvalidValueError(
                f"The mask {self.file} has {tuple(self.seen.shape)} pixels and the images have {(height, width)}; "
                "give a mask of their size."
            )
        return self.seen[None, None]

    def extra_repr(self) -> str:
        """Arguments, for `repr`."""
        return f"file={self.file}, noise_std={self.noise_std}"


def _read(file: Path) -> Tensor:
    """A mask from a file, `(H, W)`: 1 seen, 0 hidden."""
    if not file.is_file():
        raise MissingFileError(f"There is no mask {file}; give a picture or a .npy array.")
    try:
        values = _numbers(file) if file.suffix == ".npy" else _brightness(file)
    except Exception as error:  # A damaged file fails in any way it likes.
        raise InvalidValueError(
            f"The mask {file} cannot be read ({type(error).__name__}): it is damaged, or no picture and no .npy array "
            "of numbers. Write it again."
        ) from None  # the command line shows the innermost cause alone
    if not np.isfinite(values).all():
        raise InvalidValueError(
            f"The mask {file} has {int((~np.isfinite(values)).sum())} values that are not finite, neither seen nor "
            "hidden; write 0 where a pixel is hidden and 1 where it is seen."
        )
    seen = values != 0
    if seen.ndim != 2 or not seen.any():
        raise InvalidValueError(
            f"The mask {file} must be one map with at least one pixel that is seen (not 0, or brighter than half), but "
            f"has shape {seen.shape} and {int(seen.sum())} such pixels."
        )
    return torch.from_numpy(seen).float()


def _numbers(file: Path) -> NDArray[np.float64]:
    values = np.asarray(np.load(file, allow_pickle=False), dtype=np.float64)
    return values.squeeze() if values.ndim > 2 else values


def _brightness(file: Path) -> NDArray[np.bool]:
    """Where a picture is brighter than half."""
    with Image.open(file) as picture:
        return np.asarray(picture.convert("L")) > 127
