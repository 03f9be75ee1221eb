"""Clouds of clean images given a noisy one: their moments against closed forms."""

from typing import Self

import pytest
import torch
from torch import Tensor

from dis_lightning.operators import Operator
from dis_lightning.priors import ExactPrior, FiniteAtomPrior, GaussianMixturePrior, GaussianPrior
from dis_lightning.types import Measurement
from studies.clouds import posterior_cloud

GENERATOR = torch.Generator().manual_seed(0)
SIGMA = 0.8
X_T = torch.tensor([[0.5, -1.0, 0.3]], dtype=torch.float64)
ROOT = torch.randn(3, 3, generator=GENERATOR, dtype=torch.float64)
MEANS = torch.randn(4, 3, generator=GENERATOR, dtype=torch.float64)
WEIGHTS = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
PRIORS = {
    "Gaussian": GaussianPrior(MEANS[0], ROOT @ ROOT.T),
    "flat Gaussian": GaussianPrior(MEANS[0], ROOT[:, :2] @ ROOT[:, :2].T),
    "mixture": GaussianMixturePrior(WEIGHTS, MEANS, 0.1 * ROOT @ ROOT.T),
    "atoms": FiniteAtomPrior(MEANS, WEIGHTS),
}


@pytest.mark.parametrize("name", PRIORS)
def test_a_cloud_has_the_mean_and_the_covariance_of_the_posterior(name: str) -> None:
    """`Cov[x_0 | x_t] = sigma^2 grad D(x_t)` for every prior."""
    prior = PRIORS[name]
    points, weights = posterior_cloud(prior, X_T, SIGMA, num_points=64)
    mean = weights @ points
    covariance = (weights * (points - mean).T) @ (points - mean)
    jacobian = torch.autograd.functional.jacobian(lambda x_t: prior(x_t, SIGMA)[0], X_T)[:, 0]
    torch.testing.assert_close(weights.sum().item(), 1.0)
    torch.testing.assert_close(mean, prior(X_T, SIGMA)[0])
    torch.testing.assert_close(covariance, SIGMA**2 * jacobian)


def test_a_cloud_of_a_gaussian_is_symmetric_and_has_gaussian_tails() -> None:
    prior = PRIORS["Gaussian"]
    points, weights = posterior_cloud(prior, X_T, SIGMA, num_points=4096)
    offsets = points - prior(X_T, SIGMA)
    scaled = offsets / offsets.square().mean(0).sqrt()
    torch.testing.assert_close(weights @ offsets**3, torch.zeros(3, dtype=torch.float64), atol=1e-12, rtol=0)
    # The fourth power of a standard normal number has mean 3 and variance 96; a point and its mirror image count once.
    assert (scaled.pow(4).mean(0) - 3).abs().max() < 5 * (96 / 2048) ** 0.5
    assert (scaled.abs().mean(0) - (2 / torch.pi) ** 0.5).abs().max() < 5 * ((1 - 2 / torch.pi) / 2048) ** 0.5


def test_images_keep_their_shape() -> None:
    prior = GaussianPrior(torch.zeros(3, 2, 2), torch.eye(12))
    points, weights = posterior_cloud(prior, torch.ones(1, 3, 2, 2), SIGMA, num_points=24)
    assert points.shape == (24, 3, 2, 2)
    torch.testing.assert_close(weights @ points.flatten(1), prior(torch.ones(1, 3, 2, 2), SIGMA).flatten())


@pytest.mark.parametrize("num_points", [7, 4])
def test_too_few_or_an_odd_number_of_points_is_refused(num_points: int) -> None:
    with pytest.raises(ValueError, match="an even number >= 6 of points"):
        posterior_cloud(PRIORS["Gaussian"], X_T, SIGMA, num_points)


class Unknown(ExactPrior):
    """A prior of no known kind."""

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        raise NotImplementedError

    sample = consistency_map = forward

    def posterior(self, operator: Operator, y: Measurement) -> Self:
        return self


def test_a_prior_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="but not for Unknown"):
        posterior_cloud(Unknown(), X_T, SIGMA)
