"""Inpainting with a mask that somebody made; see `dis_lightning.operators.inpainting`."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

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
        ValueError: if the mask is no single map, hides all or, when measuring, has not the size of the images.
    """

    seen: Tensor

    def __init__(self, file: str, noise_std: float = 0.0) -> None:
        super().__init__(noise_std, per_image=False)
        self.file = file
        self.register_buffer("seen", _read(Path(file)), persistent=False)

    def masks(self, height: int, width: int, noise: NoiseSource | None = None) -> Tensor:
        """See `Inpainting.masks`."""
        if self.seen.shape != (height, width):
            raise ValueError(
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
        raise FileNotFoundError(f"There is no mask {file}; give a picture or a .npy array.")
    if file.suffix == ".npy":
        seen = np.load(file, allow_pickle=False) != 0
        seen = seen.squeeze() if seen.ndim > 2 else seen
    else:
        with Image.open(file) as picture:
            seen = np.asarray(picture.convert("L")) > 127
    if seen.ndim != 2 or not seen.any():
        raise ValueError(
            f"The mask {file} must be one map with at least one pixel that is seen (not 0, or brighter than half), but "
            f"has shape {seen.shape} and {int(seen.sum())} such pixels."
        )
    return torch.from_numpy(seen).float()
