"""Gaussian blur with reflected borders.

Blur is separable: `A(x) = K_h x K_w^T` for each channel, with a small dense matrix per axis that holds the kernel and
the border; see `dis_lightning.operators.separable`.
"""

import math

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError, require_numbers, require_whole
from dis_lightning.operators.separable import SeparableOperator

__all__ = ["GaussianBlur"]


class GaussianBlur(SeparableOperator):
    """Gaussian blur, reflecting the image at its borders without doubling the edge pixel (Chung et al. 2023).

    The kernel is cut where SciPy cuts it, at 4 standard deviations: of the 61 pixels of the papers 25 are not 0.

    Args:
        kernel_size: odd side of the kernel, in pixels.
        std: standard deviation of the kernel, in pixels, > 0.
        noise_std: standard deviation of the noise on `y`.
        tolerance: singular values below this share of the largest are taken as 0 in the pseudo-inverse. Blur destroys
            fine detail to far below rounding, so an exact inverse would return noise.

    Raises:
        ValueError: if an argument is out of range or, when measuring, the image is not larger than the kernel's radius.
    """

    def __init__(
        self, kernel_size: int = 61, std: float = 3.0, noise_std: float = 0.0, tolerance: float = 0.01
    ) -> None:
        super().__init__(noise_std, factor=1, tolerance=tolerance)
        require_whole(self, 1, kernel_size=kernel_size)
        require_numbers(self, std=std, tolerance=tolerance)
        if kernel_size % 2 == 0 or not 0 < std < math.inf or not 0 < tolerance < 1:
            raise InvalidValueError(
                "GaussianBlur needs an odd kernel_size, std > 0 and tolerance in (0, 1), but got "
                f"kernel_size={kernel_size}, std={std}, tolerance={tolerance}."
            )
        self.kernel_size = kernel_size
        self.std = std

    def kernel(self) -> Tensor:
        """The kernel along one axis, without its zeros, `(2 radius + 1,)`, double precision, sum 1."""
        radius = min(self.kernel_size // 2, int(4 * self.std + 0.5))
        weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float64) / self.std) ** 2)
        return weights / weights.sum()

    def axis(self, size: int) -> Tensor:
        """See `SeparableOperator.axis`."""
        kernel = self.kernel()
        radius = len(kernel) // 2
        if size <= radius:
            raise InvalidValueError(
                f"GaussianBlur reaches {radius} pixels and needs a larger image than {size} pixels."
            )
        # A pixel before the first (or past the last) is the mirror image of one inside.
        position = (torch.arange(size)[:, None] + torch.arange(-radius, radius + 1)).abs()
        position = torch.where(position >= size, 2 * (size - 1) - position, position)
        matrix = torch.zeros(size, size, dtype=torch.float64)
        return matrix.scatter_add_(1, position, kernel.expand(size, -1))
