"""Measurements of a few numbers that are not linear.

    pointwise            y = phi(A vec(x_0)) + s n
    Fourier magnitudes   y = |F pad(x_0)| + s n         phase retrieval of a few pixels

Those of pictures are in `dis_lightning.operators`.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from dis_lightning.operators import GaussianOperator

__all__ = ["FourierMagnitudes", "Pointwise", "clipped"]


class Pointwise(GaussianOperator):
    """`y = phi(A vec(x_0)) + noise_std n` with a function of each number.

    Args:
        matrix: A, `(M, D)`.
        function: phi, differentiable almost everywhere.
        noise_std: standard deviation of the noise on `y`.
    """

    matrix: Tensor

    def __init__(self, matrix: Tensor, function: Callable[[Tensor], Tensor], noise_std: float = 0.0) -> None:
        super().__init__(noise_std)
        self.register_buffer("matrix", matrix, persistent=False)
        self.function = function

    def forward(self, x_0: Tensor) -> Tensor:
        """`phi(A vec(x_0))`, `(B, M)`."""
        return self.function(x_0.flatten(1) @ self.matrix.T.to(x_0))


class FourierMagnitudes(GaussianOperator):
    """Magnitudes of the orthonormal Fourier transform of the image with a margin of zeros.

    Args:
        margin: width of the margin on all sides, in pixels.
        noise_std: standard deviation of the noise on `y`.
    """

    def __init__(self, margin: int = 4, noise_std: float = 0.0) -> None:
        super().__init__(noise_std)
        self.margin = margin

    def forward(self, x_0: Tensor) -> Tensor:
        """`|F pad(x_0)|`, `(B, C, H + 2 margin, W + 2 margin)`."""
        spectrum: Tensor = torch.fft.fft2(F.pad(x_0, [self.margin] * 4), norm="ortho")
        return spectrum.abs()


def clipped(values: Tensor) -> Tensor:
    """Twice the contrast, cut at the ends of the range."""
    return (2 * values).clamp(-1, 1)
