"""Linear measurements one singular value at a time.

For `A = U S V^*`, `A^* (A A^* + damping I)^+ = V f(S) U^*` with `f(s) = conj(s) / (|s|^2 + damping)`. A convolution on
a torus has the Fourier basis for `U = V` and complex `s`; there `f` is the Wiener filter.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Decomposition", "separable", "spectral_inverse"]


class Decomposition(NamedTuple):
    """`A = U S V^*`, with coefficients for all directions of an image, also those that are not measured.

    The coefficients of an image have the shape `(N, ...)` that suits the operator, and may be complex; all weights of
    them are real, so that images stay real.
    """

    values: Tensor
    """S, >= 0, in the shape of coefficients or one that multiplies them; 0 where nothing is measured."""
    coefficients: Callable[[Tensor], Tensor]
    """`V^* x` of images `(N, *shape)`."""
    images: Callable[[Tensor], Tensor]
    """`V c`, the inverse of `coefficients`."""
    measured: Callable[[Tensor], Tensor]
    """`U^* y`, each number at the place of the direction that it measures; 0 at the others."""


def separable(rows: Tensor, columns: Tensor) -> Decomposition:
    """The decomposition of `A(x) = R x C^T` for each channel.

    Args:
        rows: R, `(h, H)`.
        columns: C, `(w, W)`.
    """
    # In double precision, and cast once: what was asked for at every step would be cast at every step.
    (ur, sr, vr), (uc, sc, vc) = (
        [part.to(axis) for part in torch.linalg.svd(axis.double(), full_matrices=True)] for axis in (rows, columns)
    )
    height, width = rows.shape[1], columns.shape[1]
    # As many directions as an axis has pixels; what is not measured, or measured twice, has no value.
    sr, sc = F.pad(sr, (0, height - len(sr))), F.pad(sc, (0, width - len(sc)))
    vr, vc = vr.T, vc.T

    def measured(y: Tensor) -> Tensor:
        found = ur.T.to(y) @ y @ uc.to(y)
        return F.pad(found, (0, width - found.shape[-1], 0, height - found.shape[-2]))

    return Decomposition(
        sr[:, None] * sc,
        lambda x: vr.T.to(x) @ x @ vc.to(x),
        lambda c: vr.to(c) @ c @ vc.T.to(c),
        measured,
    )


def spectral_inverse(values: Tensor, damping: float, tolerance: float) -> Tensor:
    """`conj(s) / (|s|^2 + damping)` for singular values, or complex eigenvalues, `s` of any shape.

    Args:
        values: the singular values.
        damping: >= 0.
        tolerance: without damping, values below this share of the largest are taken as 0, and so are their inverses.
    """
    inverse = values.conj() / (values.abs().square() + damping)
    if damping > 0:
        return inverse
    return inverse.where(values.abs() > tolerance * values.abs().max(), 0.0)
