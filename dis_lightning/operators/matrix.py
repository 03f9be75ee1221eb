"""Any linear measurement, as a matrix: for toy problems with a known truth and for small sensors.

With the singular value decomposition `A = U S V^T`, `A^T (A A^T + damping I)^+ = V S / (S^2 + damping) U^T`.
"""

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError
from dis_lightning.operators.base import LinearOperator, tensor
from dis_lightning.operators.spectrum import spectral_inverse
from dis_lightning.types import Measurement

__all__ = ["MatrixOperator"]


class MatrixOperator(LinearOperator):
    """`y = A vec(x_0) + noise_std n` with a given matrix.

    Args:
        matrix: `(M, D)`, D the number of values of one image; a tensor or nested lists.
        noise_std: standard deviation of the noise on `y`.
        shape: shape of one image, for the adjoint and the pseudo-inverse; `(D,)` if not given.

    Raises:
        ValueError: if the matrix has not two axes or does not fit `shape`.
    """

    matrix_: Tensor
    _left: Tensor
    _values: Tensor
    _right: Tensor

    def __init__(
        self, matrix: Tensor | list[list[float]], noise_std: float = 0.0, shape: tuple[int, ...] | None = None
    ) -> None:
        super().__init__(noise_std)
        matrix = torch.as_tensor(matrix)
        self.shape = tuple(shape or matrix.shape[-1:])
        if matrix.ndim != 2 or torch.Size(self.shape).numel() != matrix.shape[1]:
            raise InvalidValueError(
                f"A matrix of shape {tuple(matrix.shape)} does not act on images of shape {self.shape}."
            )
        self.register_buffer("matrix_", matrix, persistent=False)
        # What is next to nothing in the type of the matrix is its rounding, not its content.
        self._rounding = max(matrix.shape) * torch.finfo(matrix.dtype).eps
        parts = torch.linalg.svd(matrix.double(), full_matrices=False)
        for name, part in zip(("_left", "_values", "_right"), parts, strict=True):
            self.register_buffer(name, part.to(matrix), persistent=False)

    def forward(self, x_0: Tensor) -> Tensor:
        """`A vec(x_0)`, `(B, M)`."""
        return x_0.flatten(1) @ self.matrix_.T.to(x_0)

    def adjoint(self, y: Tensor) -> Tensor:
        """`A^T y`, `(B, *shape)`."""
        return torch.unflatten(y @ self.matrix_.to(y), 1, self.shape)

    def pseudo_inverse(self, y: Tensor, damping: float = 0.0) -> Tensor:
        """`V S / (S^2 + damping) U^T y`, `(B, *shape)`."""
        inverse = spectral_inverse(self._values, damping, self._rounding).to(y)
        return torch.unflatten(y @ self._left.to(y) * inverse @ self._right.to(y), 1, self.shape)

    def picture(self, y: Measurement) -> Tensor:
        """The pseudo-inverse, since the measurement itself is a list of numbers."""
        return self.pseudo_inverse(tensor(y)).clamp(-1, 1)
