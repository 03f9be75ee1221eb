"""Heun's steps in the annealed loop, against the exact flow of a Gaussian and an integrator of ten lines."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from dis_lightning.levels import KarrasLevels, Levels
from dis_lightning.meters import CostMeter
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import MatrixOperator
from dis_lightning.priors import GaussianPrior
from dis_lightning.solvers import DPS, MMPS, AnnealedSolver, Unguided
from dis_lightning.transitions import Heun, ProbabilityFlow

PRIOR = GaussianPrior(torch.tensor([0.5, -1.0]).double(), torch.tensor([[0.3, 0.1], [0.1, 1.2]]).double())
OPERATOR = MatrixOperator(torch.tensor([[1.0, 0.5]]).double(), noise_std=0.3)
Y = torch.tensor([[0.7]])
NOISE = NoiseSource(0, [0])


def ends(solver: AnnealedSolver) -> Tensor:
    return solver.solve(Y, NOISE)[0]


def unguided(steps: int, transition: ProbabilityFlow) -> Tensor:
    return ends(Unguided(OPERATOR, PRIOR, KarrasLevels(steps, sigma_max=30.0), transition=transition, num_samples=5))


def exact() -> Tensor:
    """The end of the flow of a Gaussian: each axis shrinks by `s / sqrt(s^2 + sigma^2)`."""
    values, axes = torch.linalg.eigh(torch.tensor([[0.3, 0.1], [0.1, 1.2]]).double())
    start = 30.0 * NOISE.samples(5).normal((5, 2)).double()
    return PRIOR.mean + ((start - PRIOR.mean) @ axes * (values / (values + 30.0**2)).sqrt()) @ axes.T


def test_its_error_falls_with_the_square_of_the_number_of_steps_and_eulers_with_the_number() -> None:
    found = {
        kind: [float((unguided(steps, kind()).double() - exact()).norm()) for steps in (20, 40, 80)]
        for kind in (Heun, ProbabilityFlow)
    }
    for coarse, fine in ((0, 1), (1, 2)):
        assert math.log2(found[Heun][coarse] / found[Heun][fine]) > 1.6
        assert 0.7 < math.log2(found[ProbabilityFlow][coarse] / found[ProbabilityFlow][fine]) < 1.3
    assert found[Heun][0] < found[ProbabilityFlow][1] / 2  # at as many evaluations


@pytest.mark.filterwarnings("ignore:The levels of .* end at")
@pytest.mark.parametrize("last", [[0.0], []])
def test_a_guided_walk_is_the_integrator_of_ten_lines(last: list[float]) -> None:
    levels = Levels([20.0, 3.0, 0.5, 0.1, *last])
    for solver in (
        MMPS(OPERATOR, PRIOR, levels, transition=Heun()),
        DPS(OPERATOR, PRIOR, levels, transition=Heun(), scale=0.2),
    ):
        x = 20.0 * NOISE.samples(1).normal((1, 2))
        for sigma, after in pairwise(levels):
            x_0, shift = solver.guide(x, sigma, Y, NOISE)
            slope = (x - x_0) / sigma
            end = x + (after - sigma) * slope - (0 if shift is None else shift)
            if after > 0:
                x_1, shift_1 = solver.guide(end, after, Y, NOISE)
                end = x + (after - sigma) * (slope + (end - x_1) / after) / 2
                if shift is not None and shift_1 is not None:
                    end = end - (shift + shift_1) / 2
            x = end
        torch.testing.assert_close(ends(solver), x, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:The levels of .* end at")
@pytest.mark.parametrize("levels", [KarrasLevels(7), Levels(KarrasLevels(7)[:-1])])
def test_a_step_costs_twice_but_for_the_one_to_zero(levels: Levels) -> None:
    solver = DPS(OPERATOR, PRIOR, levels, transition=Heun(), num_samples=3, scale=0.2)
    with CostMeter([PRIOR], NOISE.device) as meter:
        ends(solver)
    assert meter.evaluations == 3 * (2 * (len(levels) - 1) - (levels[-1] == 0))


@pytest.mark.parametrize("kind", [Heun, ProbabilityFlow])
def test_the_step_to_zero_is_the_clean_image(kind: type[ProbabilityFlow]) -> None:
    x_t, x_0 = torch.tensor([3.0]), torch.tensor([0.25])
    mean, std = kind()(x_t, x_0, 2.0, 0.0)
    assert (float(mean), std) == (0.25, 0.0)
