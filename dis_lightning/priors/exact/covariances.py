"""Covariance matrices in the coordinates of their eigenvectors, and conditioning on a linear measurement.

With `C = V diag(lambda) V^T` and `u = V^T (x_t - m)`, everything about `x_t = x_0 + sigma n` is elementwise:

    Cov[x_t] = V diag(lambda + sigma^2) V^T,    E[x_0 | x_t] = m + V diag(lambda / (lambda + sigma^2)) u.

A measurement `y = A x_0 + s n` changes `N(m, C)` to `N(m', C')` (for example Bishop, "Pattern Recognition and Machine
Learning", 2006, section 2.3.3; the form of `C'` after Joseph, which stays positive under rounding):

    S = A C A^T + s^2 I,   G = C A^T S^-1,   m' = m + G (y - A m),   C' = (I - G A) C (I - G A)^T + s^2 G G^T.
"""

import torch
from torch import Tensor, nn

from dis_lightning.errors import InvalidTypeError, InvalidValueError
from dis_lightning.operators.base import LinearOperator, Operator, tensor
from dis_lightning.priors.base import per_image
from dis_lightning.priors.exact.base import check_numbers, check_single
from dis_lightning.types import Measurement

__all__ = ["Covariances", "condition"]

# Rounding of a covariance estimated in float32, relative to its largest entry or eigenvalue.
TOLERANCE = 1e-5


class Covariances(nn.Module):
    """P covariance matrices in eigen-coordinates.

    Args:
        matrices: symmetric, with eigenvalues >= 0, `(P, D, D)`. Decomposed in float64, on the CPU.
        like: a tensor with the type and device of the numbers that are kept.

    Attributes:
        basis: eigenvectors as columns, `(P, D, D)`.
        variances: eigenvalues, ascending, `(P, D)`.

    Raises:
        ValueError: if a matrix is not finite or not symmetric, or has a clearly negative eigenvalue.
    """

    basis: Tensor
    variances: Tensor

    def __init__(self, matrices: Tensor, like: Tensor) -> None:
        super().__init__()
        check_numbers("covariance", matrices)
        asymmetry, largest = float((matrices - matrices.mT).abs().max()), float(matrices.abs().max())
        if asymmetry > TOLERANCE * largest:
            raise InvalidValueError(
                f"A covariance is symmetric, but entries up to {largest:g} differ by {asymmetry:g} from the transpose: "
                "pass (C + C^T) / 2."
            )
        matrices = matrices.detach().cpu().double()
        variances, basis = torch.linalg.eigh((matrices + matrices.mT) / 2)
        if variances.min() < -TOLERANCE * variances.max():
            raise InvalidValueError(
                f"A covariance has no negative eigenvalues, but got {variances.min():g} beside {variances.max():g}."
            )
        self.register_buffer("basis", basis.to(like))
        self.register_buffer("variances", variances.clamp(min=0).to(like))

    def project(self, x: Tensor) -> Tensor:
        """Coordinates along the eigenvectors, `V_p^T x`: from `(N, D)` to `(N, P, D)`."""
        return torch.einsum("nd, pde -> npe", x, self.basis)

    def lift(self, u: Tensor) -> Tensor:
        """Back to pixels, summed over the matrices, `sum_p V_p u_p`: from `(N, P, D)` to `(N, D)`."""
        return torch.einsum("npe, pde -> nd", u, self.basis)

    def noisy(self, sigma: float | Tensor, u: Tensor) -> Tensor:
        """Variances of `x_t` along the eigenvectors, `lambda + sigma^2`, that broadcast with `u`, `(N, P, D)`."""
        return self.variances + per_image(sigma, u) ** 2

    def matrices(self) -> Tensor:
        """The covariances as matrices, `(P, D, D)`, multiplied out in float64."""
        basis = self.basis.cpu().double()
        return (basis * self.variances.cpu().double().unsqueeze(1)) @ basis.mT


@torch.no_grad()
def condition(
    means: Tensor, covariances: Covariances, operator: Operator, y: Measurement
) -> tuple[Tensor, Tensor, Tensor]:
    """Condition K Gaussians on one linear measurement, in float64 and on the CPU.

    Args:
        means: `(K, *shape)`.
        covariances: one for all, or K.
        operator: what was measured.
        y: one measurement, `(1, ...)`.

    Returns:
        Posterior means `(K, *shape)`, posterior covariances `(P, D, D)`, and `log p(y | k)`, `(K,)`, up to a constant.

    Raises:
        TypeError: if the operator is not linear.
        ValueError: if it has no noise, or if there is not exactly one measurement of the right size.
    """
    matrix, values, noise_std = _linear_system(operator, y, tuple(means.shape[1:]))
    m, c = means.cpu().double().flatten(1), covariances.matrices()
    residuals = (values - m @ matrix.T).unsqueeze(-1)
    noise = noise_std**2 * torch.eye(len(matrix), dtype=torch.float64)
    factor = torch.linalg.cholesky(matrix @ c @ matrix.T + noise)
    gain = torch.cholesky_solve(matrix @ c, factor).mT
    rest = torch.eye(m.shape[1], dtype=torch.float64) - gain @ matrix
    posterior_means = m + (gain @ residuals).squeeze(-1)
    posterior_covariances = rest @ c @ rest.mT + noise_std**2 * gain @ gain.mT
    white = torch.linalg.solve_triangular(factor, residuals, upper=False).squeeze(-1)
    log_volume = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return posterior_means.reshape(means.shape), posterior_covariances, -white.square().sum(-1) / 2 - log_volume


def _linear_system(operator: Operator, y: Measurement, shape: tuple[int, ...]) -> tuple[Tensor, Tensor, float]:
    name = type(operator).__name__
    if not isinstance(operator, LinearOperator):
        raise InvalidTypeError(f"The posterior of Gaussians is known for a LinearOperator, but {name} is not one.")
    if operator.noise_std == 0:
        raise InvalidValueError(
            f"The posterior needs noise in the measurement, but {name} has noise_std 0: set it above 0."
        )
    check_single(y)
    y = tensor(y).cpu()
    matrix, values = operator.matrix(shape).cpu(), y.double().flatten()
    if values.shape != matrix.shape[:1]:
        raise InvalidValueError(f"{name} measures {len(matrix)} numbers of images {shape}, but y has {len(values)}.")
    # What an operator knows not to have been seen counts for nothing; any other number that is not finite is an error.
    missing = values.isnan()
    _, known = operator.compare(torch.zeros(1, *shape).to(y), y)
    check_numbers("measurement", known)
    return matrix[~missing], values[~missing], operator.noise_std
