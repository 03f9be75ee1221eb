"""Undoing a linear measurement one singular value at a time.

For `A = U S V^*`, `A^* (A A^* + damping I)^+ = V f(S) U^*` with `f(s) = conj(s) / (|s|^2 + damping)`. A convolution on
a torus has the Fourier basis for `U = V` and complex `s`; there `f` is the Wiener filter.
"""

from torch import Tensor

__all__ = ["spectral_inverse"]


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
