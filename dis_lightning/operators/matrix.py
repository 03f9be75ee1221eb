"""Any linear measurement, as a matrix: for toy problems with a known truth and for small sensors.

With the singular value decomposition `A = U S V^T`, `A^T (A A^T + damping I)^+ = V S / (S^2 + damping) U^T`.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dis_lightning.errors import InvalidValueError
from dis_lightning.operators.base import LinearOperator, tensor
from dis_lightning.operators.spectrum import Decomposition, spectral_inverse
from dis_lightning.types import Measurement
from dis_lightning.weights import existing_file, read_tensors

__all__ = ["MatrixOperator"]


class MatrixOperator(LinearOperator):
    """`y = A vec(x_0) + noise_std n` with a given matrix.

    Args:
        matrix: `(M, D)`, D the number of values of one image: a tensor, nested lists, or a file that holds it alone, as
            an array of NumPy (`.npy`, `.npz`) or a tensor (`.pt`, `.safetensors`; one, of any name).
        noise_std: standard deviation of the noise on `y`.
        shape: shape of one image, for the adjoint and the pseudo-inverse; that of a solver's prior if not given, and
            `(D,)` without a solver.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged or holds anything else, or if the matrix has not two axes of finite numbers
            or does not fit `shape`.
    """

    matrix_: Tensor
    _left: Tensor
    _values: Tensor
    _right: Tensor

    def __init__(
        self,
        # With `Path` among the types, a file named on the command line is not opened there, as a configuration.
        matrix: Tensor | list[list[float]] | str | Path,
        noise_std: float = 0.0,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(noise_std)
        self.file = str(matrix) if isinstance(matrix, str | Path) else None
        matrix = _read(matrix) if isinstance(matrix, str | Path) else torch.as_tensor(matrix)
        self.shape, self._named = tuple(shape or matrix.shape[-1:]), shape is not None
        if matrix.ndim != 2 or not len(matrix) or torch.Size(self.shape).numel() != matrix.shape[1]:
            raise InvalidValueError(
                f"A matrix of shape {tuple(matrix.shape)} does not act on images of shape {self.shape}."
            )
        if matrix.is_complex() or not matrix.isfinite().all():
            raise InvalidValueError(
                f"A matrix has finite real numbers, but got {matrix.dtype} with {int((~matrix.isfinite()).sum())} of "
                f"{matrix.numel()} that are not finite."
            )
        if not matrix.is_floating_point():
            matrix = matrix.double()
        self.register_buffer("matrix_", matrix, persistent=False)
        self._whole: tuple[Tensor, Tensor, Tensor] | None = None
        # What is next to nothing in the type of the matrix is its rounding, not its content.
        self.tolerance = max(matrix.shape) * torch.finfo(matrix.dtype).eps
        parts = torch.linalg.svd(matrix.double(), full_matrices=False)
        for name, part in zip(("_left", "_values", "_right"), parts, strict=True):
            self.register_buffer(name, part.to(matrix), persistent=False)

    def accept(self, shape: tuple[int, ...]) -> None:
        """See `Operator.accept`."""
        if torch.Size(shape).numel() != self.matrix_.shape[1]:
            raise InvalidValueError(
                f"A matrix of shape {tuple(self.matrix_.shape)} does not act on images of shape {tuple(shape)}, which "
                f"have {torch.Size(shape).numel()} values; give a matrix with as many columns, or resize the data."
            )
        if self._named and self.shape != tuple(shape):
            raise InvalidValueError(
                f"The matrix was given for images of shape {self.shape}, but the prior's are {tuple(shape)}; leave "
                "`shape` out, or give theirs."
            )
        self.shape = tuple(shape)

    def forward(self, x_0: Tensor) -> Tensor:
        """`A vec(x_0)`, `(B, M)`."""
        return x_0.flatten(1) @ self.matrix_.T.to(x_0)

    def adjoint(self, y: Tensor) -> Tensor:
        """`A^T y`, `(B, *shape)`."""
        return torch.unflatten(y @ self.matrix_.to(y), 1, self.shape)

    def pseudo_inverse(self, y: Tensor, damping: float = 0.0) -> Tensor:
        """`V S / (S^2 + damping) U^T y`, `(B, *shape)`."""
        inverse = spectral_inverse(self._values, damping, self.tolerance).to(y)
        return torch.unflatten(y @ self._left.to(y) * inverse @ self._right.to(y), 1, self.shape)

    def decomposition(self, x: Tensor, y: Tensor) -> Decomposition:
        """See `LinearOperator.decomposition`."""
        left, values, right = self._bases(x)
        extent = len(right)
        return Decomposition(
            F.pad(values, (0, extent - len(values))),
            lambda x: x.flatten(1) @ right.T.to(x),
            lambda c: torch.unflatten(c @ right.to(c), 1, self.shape),
            lambda y: F.pad((y @ left.to(y))[:, :extent], (0, max(0, extent - left.shape[1]))),
        )

    def _bases(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`U`, `S` and `V^T`, whole, in the type of the images: made once, for solvers ask at every step."""
        if self._whole is None or (self._whole[0].dtype, self._whole[0].device) != (x.dtype, x.device):
            left, values, right = torch.linalg.svd(self.matrix_.double(), full_matrices=True)
            self._whole = left.to(x), values.to(x), right.to(x)
        return self._whole

    def picture(self, y: Measurement) -> Tensor:
        """The pseudo-inverse, since the measurement itself is a list of numbers."""
        return self.pseudo_inverse(tensor(y)).clamp(-1, 1)


def _read(file: str | Path) -> Tensor:
    """The one matrix in a file."""
    path = existing_file(file, "a matrix (.npy, .npz, .pt or .safetensors)")
    if path.suffix not in (".npy", ".npz"):
        found = list(read_tensors(path).values())
    else:
        try:
            content = np.load(path, allow_pickle=False)
            arrays = [content[name] for name in content] if path.suffix == ".npz" else [content]
            found = [torch.from_numpy(array) for array in arrays]
        except Exception as error:  # A damaged file fails in any way it likes.
            raise InvalidValueError(
                f"{path} cannot be read as an array of numbers ({type(error).__name__}): it is damaged, or holds "
                "something else. Write it again."
            ) from error
    if len(found) != 1:
        raise InvalidValueError(f"{path} must hold one matrix, but holds {len(found)} arrays: write it alone.")
    return found[0]
