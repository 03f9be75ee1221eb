"""Clean images given a noisy one, as weighted points, so that an expectation is a sum.

    E[h(x_0) | x_t] = sum_j w_j h(x_j)

A noisy image is one more linear measurement, `x_t = I x_0 + sigma n`, so that `p(x_0 | x_t)` is a posterior of the
prior, in closed form. Of finitely many atoms the sum is exact. A Gaussian `N(m, C)` becomes points `m +- C^(1/2) n_j`,
with `n_j` drawn once and whitened: odd moments and the covariance are those of the Gaussian, thus `E[h]` is exact for
polynomials up to degree 3. The error of other expectations falls as one over the root of the number of points.
"""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from dis_lightning.errors import InvalidTypeError, InvalidValueError
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import MatrixOperator
from dis_lightning.priors import ExactPrior, FiniteAtomPrior, GaussianMixturePrior, GaussianPrior

__all__ = ["Cloud", "posterior_cloud"]


class Cloud(NamedTuple):
    """A law of images as weighted points."""

    points: Tensor
    """Images, `(J, *shape)`."""
    weights: Tensor
    """Their probabilities, `(J,)`."""


def posterior_cloud(prior: ExactPrior, x_t: Tensor, sigma: float, num_points: int = 4096) -> Cloud:
    """Represent `p(x_0 | x_t)`.

    Args:
        prior: law of the clean images.
        x_t: one noisy image, `(1, *shape)`.
        sigma: its noise level, > 0.
        num_points: points per Gaussian, even, >= 2 D for D values in an image; atoms are their own points.

    Raises:
        TypeError: if the prior is neither Gaussian, a mixture of Gaussians, nor finite.
        ValueError: if `num_points` is odd or too small.
    """
    identity = MatrixOperator(torch.eye(x_t.numel()).to(x_t), noise_std=sigma)
    match prior.posterior(identity, x_t.flatten(1)):
        case FiniteAtomPrior(atoms=atoms, weights=weights):
            return Cloud(atoms, weights)
        case GaussianMixturePrior(means=means, covariances=covariances, weights=weights):
            return _around(means, covariances, weights, num_points)
        case GaussianPrior(mean=mean, covariance=covariance):
            return _around(mean.unsqueeze(0), covariance.unsqueeze(0), mean.new_ones(1), num_points)
    raise InvalidTypeError(
        f"A cloud is known for Gaussians, their mixtures and atoms, but not for {type(prior).__name__}."
    )


def _around(means: Tensor, covariances: Tensor, weights: Tensor, num_points: int) -> Cloud:
    variances, axes = torch.linalg.eigh(covariances.to(means))
    roots = axes * variances.clamp(min=0).sqrt().unsqueeze(-2)
    offsets = _white(num_points, roots.shape[-1]).to(means) @ roots.mT
    points = means.flatten(1).unsqueeze(1) + offsets
    return Cloud(
        points.flatten(0, 1).unflatten(1, means.shape[1:]), (weights / num_points).repeat_interleave(num_points)
    )


@cache
def _white(num_points: int, size: int) -> Tensor:
    """Points `+- n_j` with mean 0 and covariance I up to rounding, `(num_points, size)`."""
    half = num_points // 2
    if num_points % 2 or half < size:
        raise InvalidValueError(
            f"A cloud in {size} dimensions needs an even number >= {2 * size} of points: {num_points}."
        )
    n = NoiseSource(0, [0]).normal((1, half, size), torch.float64)[0]
    n = torch.linalg.solve_triangular(torch.linalg.cholesky(n.T @ n / half), n.T, upper=False).T
    return torch.cat([n, -n])
