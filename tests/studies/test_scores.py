"""The instruments of the studies: they must know truth from error before they judge a sampler."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch.nn import functional as F

from dis_lightning.noise import NoiseSource
from dis_lightning.priors import ExactPrior, FiniteAtomPrior, GaussianMixturePrior, GaussianPrior
from studies.scores import (
    coverage,
    density_coverage,
    log_density,
    moment_errors,
    moments,
    sliced_wasserstein,
    total_variation,
)

COVARIANCES = torch.tensor([[[1.0, 0.3], [0.3, 0.5]], [[0.2, 0.0], [0.0, 2.0]]], dtype=torch.float64)
LAWS = [
    GaussianPrior(torch.tensor([1.0, -2.0]), COVARIANCES[0]),
    GaussianMixturePrior(torch.tensor([1.0, 3.0]), torch.tensor([[1.0, -2.0], [-1.0, 0.5]]), COVARIANCES),
    GaussianMixturePrior(torch.tensor([1.0, 3.0]), torch.tensor([[1.0, -2.0], [-1.0, 0.5]]), COVARIANCES[0]),
    FiniteAtomPrior(torch.tensor([[1.0, -2.0], [-1.0, 0.5], [3.0, 3.0]]), torch.tensor([1.0, 2.0, 1.0])),
]


def test_sliced_wasserstein_is_the_mean_of_scipys_distances() -> None:
    generator = torch.Generator().manual_seed(1)
    first, second = torch.randn(2, 50, 3, generator=generator) * torch.tensor([[[1.0]], [[2.0]]])
    directions = F.normalize(torch.randn(20, 3, generator=torch.Generator().manual_seed(0)))
    distances = [scipy.stats.wasserstein_distance(first @ w, second @ w) for w in directions]
    assert sliced_wasserstein(first, second, projections=20) == pytest.approx(np.mean(distances), rel=1e-5)


def test_sliced_wasserstein_of_a_shift_is_its_mean_projection() -> None:
    """In two dimensions a shift by 1 has a mean absolute projection of 2 / pi."""
    samples = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    moved = samples + torch.tensor([0.6, 0.8])
    spread = math.sqrt(1 / 2 - (2 / math.pi) ** 2) / math.sqrt(1000)
    assert abs(sliced_wasserstein(samples, moved, projections=1000) - 2 / math.pi) < 5 * spread
    assert sliced_wasserstein(samples, samples.flip(0)) == pytest.approx(0, abs=1e-6)


def test_total_variation_counts_the_nearest_atoms() -> None:
    atoms = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    samples = torch.tensor([[0.1, 0.1], [0.2, 0.0], [0.9, -0.1], [0.1, 2.0]])
    assert total_variation(samples, atoms, torch.tensor([0.5, 0.25, 0.25])) == pytest.approx(0)
    assert total_variation(samples, atoms, torch.tensor([0.0, 0.5, 0.5])) == pytest.approx(0.5)


@pytest.mark.parametrize("law", LAWS, ids=["Gaussian", "mixture", "shared covariance", "atoms"])
def test_moments_are_those_of_many_draws(law: ExactPrior) -> None:
    mean, covariance = moments(law)
    draws = law.sample(NoiseSource(0, [0]).samples(4000)).double()
    assert ((draws.mean(0) - mean).abs() < 5 * (covariance.diagonal() / 4000).sqrt()).all()
    products = torch.einsum("nd, ne -> nde", draws - mean, draws - mean)
    assert ((products.mean(0) - covariance).abs() < 5 * products.std(0) / math.sqrt(4000)).all()


@pytest.mark.parametrize("law", LAWS[:3], ids=["Gaussian", "mixture", "shared covariance"])
def test_log_densities_are_scipys(law: ExactPrior) -> None:
    x = 2 * torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    gaussian = isinstance(law, GaussianPrior)
    means = [law.mean] if gaussian else law.means
    covariances = [law.covariance] if gaussian else law.covariances.expand(2, 2, 2)
    weights = [1.0] if gaussian else [0.25, 0.75]
    density = sum(
        weight * scipy.stats.multivariate_normal(mean, covariance).pdf(x)
        for weight, mean, covariance in zip(weights, means, covariances, strict=True)
    )
    np.testing.assert_allclose(log_density(law, x), np.log(density), rtol=1e-5)


def test_errors_of_moments_are_relative_to_the_size_of_the_law() -> None:
    """Samples with known moments: mean (3, 0) and covariance diag(2, 0), where (0, 0) and diag(1, 3) belong."""
    samples = torch.tensor([[4.0, 0.0], [2.0, 0.0]])
    mean, covariance = torch.zeros(2).double(), torch.diag(torch.tensor([1.0, 3.0])).double()
    expected = (3 / 2, math.sqrt((1 + 9) / (1 + 9)))
    assert moment_errors(samples, mean, covariance) == pytest.approx(expected)


@pytest.mark.parametrize(("spread", "shift"), [(1.0, 0.0), (0.5, 0.0), (0.5, 3.0)])
def test_coverage_tells_samples_that_are_too_narrow_or_far_off(spread: float, shift: float) -> None:
    truths, samples = torch.randn(2, 20_000, 1, generator=torch.Generator().manual_seed(0))
    cdf = torch.distributions.Normal(0, 1).cdf
    # Samples hold 90 % within 1.645 of their standard deviations.
    low, high = cdf(shift + 1.6449 * spread * torch.tensor([-1, 1]))
    error = 5 * math.sqrt(2 * 0.9 * 0.1 / 20_000)
    assert abs(coverage(shift + spread * samples, truths) - float(high - low)) < error


@pytest.mark.parametrize("number", [9, 19, 59])
def test_density_coverage_of_exact_samples_is_the_level_whatever_their_number(number: int) -> None:
    normal = torch.randn(20_000, number + 1, generator=torch.Generator().manual_seed(0))
    found = density_coverage(normal[:, 1:], normal[:, 0])
    assert abs(found - 0.9) < 5 * math.sqrt(0.9 * 0.1 / 20_000)


def test_density_coverage_of_samples_that_are_too_narrow_is_known_in_closed_form() -> None:
    """Of an exponential law in two dimensions, r^2 / 2: nine samples on half the scale, the truth below the largest."""
    energies = -torch.rand(20_000, 10, generator=torch.Generator().manual_seed(0)).log()
    found = density_coverage(-energies[:, 1:] / 4, -energies[:, 0])
    # P(E > max of nine E_i / 4) = E[e^(-max / 4)] = prod_k k / (k + 1/4); the truth is inside otherwise.
    outside = math.prod(k / (k + 0.25) for k in range(1, 10))
    assert abs(found - (1 - outside)) < 5 * math.sqrt(outside * (1 - outside) / 20_000)
