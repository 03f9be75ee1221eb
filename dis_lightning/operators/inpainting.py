"""Inpainting: some pixels are seen, the others are not.

The mask is a diagonal projection: `A = A^T = A^+ = A^2`. Hidden pixels are 0 in `A(x_0)` and hold only noise in `y`, as
in the papers' code.
"""

import torch
from torch import Tensor

from dis_lightning.operators.base import LinearOperator, tensor
from dis_lightning.types import Measurement

__all__ = ["RandomInpainting"]


class RandomInpainting(LinearOperator):
    """A random share of the pixels is seen, the same pixels in every image and channel.

    The mask follows from `seed` and the image's size alone.

    Args:
        visible: share of the pixels that are seen, in (0, 1]; Purohit et al. 2024 use 0.1 (LSUN) and 0.2 (ImageNet-64).
        noise_std: standard deviation of the noise on `y`.
        seed: chooses the pixels.

    Raises:
        ValueError: if `visible` is out of range, or so small that an image has no visible pixel.
    """

    def __init__(self, visible: float, noise_std: float = 0.0, seed: int = 0) -> None:
        super().__init__(noise_std)
        if not 0 < visible <= 1:
            raise ValueError(f"RandomInpainting needs the visible share in (0, 1], but got {visible}.")
        self.visible = visible
        self.seed = seed
        self._mask = torch.empty(0, 0)

    @torch.inference_mode(False)  # a mask made in inference mode could never serve a gradient
    def mask(self, x_0: Tensor) -> Tensor:
        """Which pixels of such images are seen, `(H, W)`: 1 seen, 0 hidden."""
        height, width = x_0.shape[-2:]
        if self._mask.shape != (height, width):
            pixels = height * width
            count = round(self.visible * pixels)
            if count == 0:
                raise ValueError(f"visible={self.visible} of {height} x {width} pixels is none; use a larger share.")
            # A generator of its own: the streams of NoiseSource belong to the images.
            seen = torch.randperm(pixels, generator=torch.Generator().manual_seed(self.seed))[:count]
            self._mask = torch.zeros(pixels).index_fill(0, seen, 1.0).reshape(height, width)
        self._mask = self._mask.to(x_0)
        return self._mask

    def forward(self, x_0: Tensor) -> Tensor:
        """Images with hidden pixels at 0, `(B, C, H, W)`."""
        return self.mask(x_0) * x_0

    def adjoint(self, y: Tensor) -> Tensor:
        """The mask again."""
        projected: Tensor = self(y)
        return projected

    def pseudo_inverse(self, y: Tensor) -> Tensor:
        """The mask again."""
        projected: Tensor = self(y)
        return projected

    def picture(self, y: Measurement) -> Tensor:
        """What was seen, hidden pixels mid-grey."""
        return self.adjoint(tensor(y)).clamp(-1, 1)

    def extra_repr(self) -> str:
        """Arguments, for `repr`."""
        return f"visible={self.visible}, noise_std={self.noise_std}, seed={self.seed}"
