"""The problems of the studies are what they say."""

import math

import pytest
import torch

from dis_lightning.operators import GaussianOperator
from studies.measurements import LinearLogits
from studies.problems import (
    Problem,
    atom_problems,
    gaussian_problem,
    measured,
    mixture_problem,
    walk_problem,
)


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
def test_exact_samples_are_reproducible_and_their_batches_independent(problem: Problem) -> None:
    assert torch.equal(problem.exact(10), problem.exact(10))
    torch.testing.assert_close(problem.exact(10), problem.exact(20)[:10], rtol=0, atol=1e-5)  # the order of sums
    assert not torch.isclose(problem.exact(10), problem.exact(10, batch=1)).any()


@pytest.mark.parametrize("problem", atom_problems(), ids=lambda problem: problem.name)
def test_measuring_an_atom_leaves_several_of_them_possible(problem: Problem) -> None:
    """With one atom left, or all of them, a sampler had nothing to show."""
    atoms_left = 1 / problem.posterior.weights.square().sum()
    assert 1.5 < atoms_left < 14


@pytest.mark.parametrize("problem", atom_problems()[:3], ids=lambda problem: problem.name)
def test_numbers_weigh_the_atoms_by_their_residuals(problem: Problem) -> None:
    operator = problem.operator
    assert isinstance(operator, GaussianOperator)
    residuals = (operator(problem.prior.atoms) - problem.y).flatten(1).double()
    likelihoods = torch.softmax(-residuals.square().sum(1) / (2 * operator.noise_std**2), 0)
    torch.testing.assert_close(problem.posterior.weights, likelihoods.float(), rtol=1e-4, atol=1e-6)


def test_classes_weigh_the_atoms_by_the_product_of_their_probabilities() -> None:
    problem = atom_problems()[3]
    dark, bright = (torch.exp(0.1 * sign * problem.prior.atoms[:, 0].double()) for sign in (-1, 1))
    odds = torch.stack([dark, torch.full_like(dark, math.exp(0.1 / 3)), bright])
    likelihoods = (odds / odds.sum(0)).gather(0, problem.y.expand(1, 16, 8, 8))[0].prod(2).prod(1)
    torch.testing.assert_close(problem.posterior.weights, (likelihoods / likelihoods.sum()).float())


def test_a_pixel_is_dark_below_a_third_and_bright_above() -> None:
    problem = atom_problems()[3]
    assert torch.equal(problem.y, 1 + (problem.truth[:, 0] > 1 / 3).long() - (problem.truth[:, 0] < -1 / 3).long())


def test_logits_are_linear_in_the_channels_of_a_pixel() -> None:
    generator = torch.Generator().manual_seed(0)
    weight, bias, x = (torch.randn(*shape, generator=generator) for shape in [(5, 3), (5,), (2, 3, 4, 6)])
    torch.testing.assert_close(LinearLogits(weight, bias)(x)[1, :, 2, 5], weight @ x[1, :, 2, 5] + bias)


def test_walks_have_independent_increments_of_variance_one_quarter() -> None:
    problem = walk_problem(400)
    increments = problem.truth.double().diff(dim=1, prepend=torch.zeros(400, 1))
    count = increments.numel()
    assert abs(increments.square().mean() - 0.25) < 5 * 0.25 * math.sqrt(2 / count)
    assert abs((increments[:, 1:] * increments[:, :-1]).mean()) < 5 * 0.25 / math.sqrt(count)


def test_walks_are_blurred_and_their_noise_has_a_tenth_of_the_power() -> None:
    problem = walk_problem(400)
    clean = problem.operator(problem.truth).double()
    # By hand, in the middle of the fourth number: 13 taps of a Gaussian of standard deviation 2.
    taps = torch.exp(-((torch.arange(13) - 6) ** 2) / 8).double()
    assert clean[0, 3] == pytest.approx(float(problem.truth[0, 3:16].double() @ taps / taps.sum()), rel=1e-5)
    noise, power = problem.y - clean, clean.square().mean()
    assert noise.square().mean() / power == pytest.approx(0.1, rel=0.2)


def test_another_seed_measures_another_image_in_the_same_way() -> None:
    first = gaussian_problem(5, 2)
    second = measured(first.name, first.prior, first.operator, seed=1)
    assert not torch.equal(first.truth, second.truth)
    assert torch.equal(measured(first.name, first.prior, first.operator, seed=0).y, first.y)
    many = measured(first.name, first.prior, first.operator, images=3)
    assert torch.equal(many.truth[:1], first.truth)
    torch.testing.assert_close(many.y[:1], first.y)
