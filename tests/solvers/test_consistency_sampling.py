"""Consistency sampling: its law in closed form, and that both loops give the same images."""

from itertools import pairwise

import pytest
import torch
from linear_gaussian import MAP, ONE_STEP, OPERATOR, PRIOR, SIGMA_MIN, TWO_STEPS, assert_law, cost, solve

from dis_lightning.levels import KarrasLevels, Levels, MultistepLevels
from dis_lightning.noise import NoiseSource
from dis_lightning.solvers.consistency_sampling import ConsistencySampling
from dis_lightning.solvers.unguided import Unguided
from dis_lightning.transitions import Renoise

MANY_STEPS = KarrasLevels(6, sigma_min=SIGMA_MIN)


@pytest.mark.parametrize("levels", [ONE_STEP, TWO_STEPS, MANY_STEPS], ids=repr)
def test_the_annealed_loop_gives_the_same_bits(levels: Levels) -> None:
    sampling = ConsistencySampling(OPERATOR, MAP, levels, num_samples=3, seed=5)
    annealed = Unguided(OPERATOR, MAP, levels, transition=Renoise(SIGMA_MIN), num_samples=3, seed=5)
    assert torch.equal(solve(sampling, indices=(2, 9)), solve(annealed, indices=(2, 9)))


@pytest.mark.parametrize(
    "levels", [ONE_STEP, TWO_STEPS, Levels([3.0, 1.5, 0.7, SIGMA_MIN]), Levels([80.0, 1.0, 0.9])], ids=repr
)
def test_samples_have_the_exact_law(levels: Levels) -> None:
    """Along an eigenvector of the prior the map multiplies by a gain, and each level adds its noise."""
    end = levels[-1]  # of the map too, which says itself where that is
    variances, basis = torch.linalg.eigh(PRIOR.covariance)
    mean_of_prior = basis.T @ PRIOR.mean.double()
    mean, variance, std = torch.zeros(2), torch.zeros(2), levels[0]
    for sigma, sigma_next in pairwise(levels):
        gain = ((variances + end**2) / (variances + sigma**2)).sqrt()
        mean = mean_of_prior + gain * (mean - mean_of_prior)
        variance = gain**2 * (variance + std**2)
        std = (sigma_next**2 - end**2) ** 0.5
    samples = solve(ConsistencySampling(OPERATOR, PRIOR.consistency_map(end), levels, num_samples=3000))[0]
    assert_law(samples, basis @ mean, basis @ variance.diag() @ basis.T)


def test_one_step_is_one_evaluation_at_the_first_level() -> None:
    sampling = ConsistencySampling(OPERATOR, MAP, MultistepLevels([0, 39]))
    z = NoiseSource(0, [0]).samples(1).normal((1, 2))
    torch.testing.assert_close(solve(sampling)[0], MAP(80 * z, 80.0))


@pytest.mark.parametrize(("levels", "evaluations"), [(ONE_STEP, 1), (TWO_STEPS, 2), (MANY_STEPS, 6)])
def test_a_sample_costs_one_evaluation_per_level_but_the_last(levels: Levels, evaluations: int) -> None:
    assert cost(ConsistencySampling(OPERATOR, MAP, levels, num_samples=4)) == (4 * evaluations, 0)


def test_the_measurement_is_not_looked_at() -> None:
    sampling = ConsistencySampling(OPERATOR, MAP, TWO_STEPS)
    assert torch.equal(solve(sampling, torch.zeros(1, 3)), solve(sampling, torch.full((1, 3), torch.nan)))
