"""The instruments of the tests: they must know truth from error before they judge a sampler."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from problems import (
    HDR,
    FirstQuarter,
    PhaseRetrieval,
    atom_problem,
    coverage,
    gaussian_problem,
    mixture_problem,
    sliced_wasserstein,
    total_variation,
)
from torch.nn import functional as F


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


@pytest.mark.parametrize(("spread", "shift"), [(1.0, 0.0), (0.5, 0.0), (0.5, 3.0)])
def test_coverage_tells_samples_that_are_too_narrow_or_far_off(spread: float, shift: float) -> None:
    truths, samples = torch.randn(2, 20_000, 1, generator=torch.Generator().manual_seed(0))
    cdf = torch.distributions.Normal(0, 1).cdf
    # Samples hold 90 % within 1.645 of their standard deviations.
    low, high = cdf(shift + 1.6449 * spread * torch.tensor([-1, 1]))
    error = 5 * math.sqrt(2 * 0.9 * 0.1 / 20_000)
    assert abs(coverage(shift + spread * samples, truths) - float(high - low)) < error


def test_the_mixture_is_as_published() -> None:
    problem = mixture_problem(8, 2)
    means, y = problem.prior.means, problem.y
    assert (means.shape, y.shape) == ((25, 8), (1, 2))
    assert means.norm(dim=1).max() == pytest.approx(16 * math.sqrt(8))
    assert torch.cdist(means, means).fill_diagonal_(99).min() == pytest.approx(8 * 2)
    assert torch.equal(problem.prior.covariances[0], torch.eye(8, dtype=torch.float64))
    singular = torch.linalg.svdvals(problem.operator.matrix((8,)))
    assert (singular <= 1).all()
    assert 0 < problem.operator.noise_std < singular[0]


@pytest.mark.parametrize("problem", [gaussian_problem(5, 2), mixture_problem(8, 2)], ids=["gaussian", "mixture"])
def test_exact_samples_are_reproducible_and_their_batches_independent(problem) -> None:
    assert torch.equal(problem.exact(10), problem.exact(10))
    assert torch.equal(problem.exact(10), problem.exact(20)[:10])
    assert not torch.isclose(problem.exact(10), problem.exact(10, batch=1)).any()


@pytest.mark.parametrize("operator", [FirstQuarter(1.2), PhaseRetrieval(1.0), HDR(6.0)], ids=repr)
def test_measuring_an_atom_leaves_several_of_them_possible(operator) -> None:
    """With one atom left, or all of them, a sampler had nothing to show."""
    problem = atom_problem(operator)
    atoms_left = 1 / problem.posterior.weights.square().sum()
    assert 2 < atoms_left < 14
    # Bayes' rule by hand.
    residuals = (operator(problem.prior.atoms) - problem.y).flatten(1).double()
    likelihoods = torch.softmax(-residuals.square().sum(1) / (2 * operator.noise_std**2), 0)
    torch.testing.assert_close(problem.posterior.weights, likelihoods.float(), rtol=1e-4, atol=1e-6)
