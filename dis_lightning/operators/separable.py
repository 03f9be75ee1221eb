"""Measurements that act along the rows and along the columns: `A(x) = R x C^T` for each channel.

With the singular value decompositions `R = U S V^T` and `C = P T Q^T`, the singular values of `A` are the products
`s_i t_j`. So two small matrices give the adjoint, the pseudo-inverse and the proximal step of a whole image exactly:

    A^T (A A^T + damping I)^+ y = V (f * (U^T y P)) Q^T,    f_ij = s_i t_j / ((s_i t_j)^2 + damping)
"""

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from dis_lightning.operators.base import LinearOperator
from dis_lightning.operators.spectrum import Decomposition, separable, spectral_inverse

__all__ = ["SeparableOperator"]


class Axis(NamedTuple):
    """A measurement along one axis, `K = U diag(s) V^T`."""

    matrix: Tensor
    """K, `(m, n)`."""
    u: Tensor
    """`(m, m)`."""
    s: Tensor
    """`(m,)`."""
    v: Tensor
    """`(n, m)`."""


class SeparableOperator(LinearOperator):
    """The same linear measurement along both axes of an image.

    Args:
        noise_std: standard deviation of the noise on `y`.
        factor: how many times smaller than the image the measurement is.
        tolerance: singular values below this share of the largest are taken as 0 in the pseudo-inverse without damping.
    """

    def __init__(self, noise_std: float, factor: int, tolerance: float) -> None:
        super().__init__(noise_std)
        self.factor = factor
        self.tolerance = tolerance
        self._axes: dict[tuple[int, torch.dtype, torch.device], Axis] = {}
        self._decompositions: dict[tuple[tuple[int, ...], torch.dtype, torch.device], Decomposition] = {}

    @abstractmethod
    def axis(self, size: int) -> Tensor:
        """The matrix along an axis of `size` pixels, `(size / factor, size)`, double precision."""

    def forward(self, x_0: Tensor) -> Tensor:
        """`R x C^T`, `(B, C, H / factor, W / factor)`."""
        rows, columns = (self._axis(size, x_0) for size in x_0.shape[-2:])
        return rows.matrix @ x_0 @ columns.matrix.T

    def adjoint(self, y: Tensor) -> Tensor:
        """`R^T y C`, `(B, C, H, W)`."""
        rows, columns = (self._axis(self.factor * size, y) for size in y.shape[-2:])
        return rows.matrix.T @ y @ columns.matrix

    def pseudo_inverse(self, y: Tensor, damping: float = 0.0) -> Tensor:
        """Each singular value undone, `(B, C, H, W)`."""
        rows, columns = (self._axis(self.factor * size, y) for size in y.shape[-2:])
        inverse = spectral_inverse(rows.s[:, None] * columns.s, damping, self.tolerance)
        return rows.v @ (inverse * (rows.u.T @ y @ columns.u)) @ columns.v.T

    def decomposition(self, x: Tensor, y: Tensor) -> Decomposition:
        """See `LinearOperator.decomposition`."""
        key = (tuple(x.shape[-2:]), x.dtype, x.device)
        if key not in self._decompositions:
            self._decompositions[key] = separable(*(self._axis(size, x).matrix for size in x.shape[-2:]))
        return self._decompositions[key]

    @torch.inference_mode(False)  # a matrix made in inference mode could never serve a gradient
    def _axis(self, size: int, like: Tensor) -> Axis:
        """One axis, decomposed once for each size, type and device."""
        key = (size, like.dtype, like.device)
        if key not in self._axes:
            matrix = self.axis(size)
            u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
            self._axes[key] = Axis(*(part.to(like) for part in (matrix, u, s, vh.T)))
        return self._axes[key]
