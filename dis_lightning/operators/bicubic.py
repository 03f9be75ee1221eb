"""Super-resolution by bicubic down-sampling, as MATLAB's `imresize` does it: the kernel is stretched by the factor.

    y_i = sum_j w((j - c_i) / f) x_j / sum_j w((j - c_i) / f),    c_i = f i + (f - 1) / 2        along each axis

    w(u) = 3/2 |u|^3 - 5/2 |u|^2 + 1                   |u| <= 1
         = -1/2 |u|^3 + 5/2 |u|^2 - 4 |u| + 2     1 <= |u| <= 2

Keys, "Cubic Convolution Interpolation for Digital Image Processing", IEEE TASSP 1981, with a = -1/2. Before its first
pixel and after its last an image is continued by its mirror image, the edge pixel doubled.
"""

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError, require_whole
from dis_lightning.operators.separable import SeparableOperator

__all__ = ["BicubicDownsample"]


class BicubicDownsample(SeparableOperator):
    """Bicubic super-resolution (Xu et al. 2024: factor 4, no noise).

    Where the picture is steep, values lie a little outside [-1, 1].

    Args:
        factor: how many times smaller `y` is, >= 1; it must divide the image's height and width.
        noise_std: standard deviation of the noise on `y`.

    Raises:
        ValueError: if `factor` is below 1 or, when measuring, does not divide the image.
    """

    def __init__(self, factor: int = 4, noise_std: float = 0.0) -> None:
        # The rows of the matrix are far from dependent: nothing but rounding is below this share.
        super().__init__(noise_std, factor=factor, tolerance=1e-6)
        require_whole(self, 1, factor=factor)

    def axis(self, size: int) -> Tensor:
        """See `SeparableOperator.axis`."""
        factor = self.factor
        if size % factor:
            raise InvalidValueError(f"BicubicDownsample(factor={factor}) cannot divide a side of {size} pixels.")
        centre = factor * torch.arange(size // factor, dtype=torch.float64) + (factor - 1) / 2
        # Two stretched pixels to each side reach the whole kernel.
        position = torch.arange(-2 * factor, 2 * factor + 1) + centre[:, None].floor().long()
        weights = _cubic((position - centre[:, None]) / factor)
        mirrored = position.remainder(2 * size)
        mirrored = torch.where(mirrored >= size, 2 * size - 1 - mirrored, mirrored)
        matrix = torch.zeros(size // factor, size, dtype=torch.float64)
        return matrix.scatter_add_(1, mirrored, weights / weights.sum(dim=1, keepdim=True))


def _cubic(u: Tensor) -> Tensor:
    """Keys' kernel, 0 beyond 2."""
    u = u.abs()
    near = (1.5 * u - 2.5) * u**2 + 1
    far = ((-0.5 * u + 2.5) * u - 4) * u + 2
    return torch.where(u <= 1, near, far).where(u < 2, 0.0)
