"""Consistency inversion: an independent loop, its minimum in closed form, and its limits."""

import math
from itertools import pairwise

import pytest
import torch
from linear_gaussian import MAP, ONE_STEP, OPERATOR, SIGMA_MIN, TWO_STEPS, Y, cost, solve
from torch import Tensor

from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import MatrixOperator, Operator
from dis_lightning.solvers.consistency_inversion import ConsistencyInversion
from dis_lightning.solvers.consistency_sampling import ConsistencySampling

THREE_STEPS = Levels([80.0, 3.0, 1.0, SIGMA_MIN])


def published(levels: Levels, rates: list[float], steps: list[int], spread: float, rows: int) -> Tensor:
    """The paper's algorithm with the library's Adam, for one image."""
    noise = NoiseSource(0, [0]).samples(rows)
    x_0, std = torch.zeros(rows, 2), levels[0]
    for (sigma, sigma_next), rate, count in zip(pairwise(levels), rates, steps, strict=True):
        z = noise.normal((rows, 2)).requires_grad_()
        optimiser = torch.optim.Adam([z], lr=rate)
        for _ in range(count):
            optimiser.zero_grad()
            image = MAP(x_0 + std * z, sigma)
            image = image + spread * noise.normal((rows, 2)) if spread else image
            (image @ OPERATOR.matrix_.T - Y).square().sum().backward()
            optimiser.step()
        x_0 = MAP(x_0 + std * z.detach(), sigma)
        noise.normal((rows, 2)) if spread else None  # the solver measures the end of each level too
        std = math.sqrt(sigma_next**2 - SIGMA_MIN**2)
    return x_0


@pytest.mark.parametrize("spread", [0.0, 0.3])
@pytest.mark.parametrize(
    ("levels", "rates", "steps"),
    [(ONE_STEP, [0.05], [10]), (TWO_STEPS, [0.05, 0.2], [6, 4]), (THREE_STEPS, [0.1, 0.01, 0.3], [3, 0, 5])],
)
def test_it_is_the_paper_s_algorithm(levels: Levels, rates: list[float], steps: list[int], spread: float) -> None:
    inversion = ConsistencyInversion(
        OPERATOR, MAP, levels, learning_rates=rates, steps=steps, spread=spread, num_samples=3
    )
    expected = published(levels, rates, steps, spread, rows=3)
    torch.testing.assert_close(solve(inversion)[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("levels", [ONE_STEP, TWO_STEPS], ids=repr)
def test_without_moves_it_is_consistency_sampling(levels: Levels) -> None:
    count = len(levels) - 1
    inversion = ConsistencyInversion(OPERATOR, MAP, levels, learning_rates=[0.1] * count, steps=[0] * count, seed=2)
    assert torch.equal(solve(inversion), solve(ConsistencySampling(OPERATOR, MAP, levels, seed=2)))


@pytest.mark.parametrize("noise_std", [0.0, 0.6])
def test_it_reaches_the_least_squares_solution(noise_std: float) -> None:
    """Three measurements of two values: the residual has a least value above 0, and noise_std does not matter."""
    operator = MatrixOperator(OPERATOR.matrix_, noise_std=noise_std)
    inversion = ConsistencyInversion(operator, MAP, ONE_STEP, learning_rates=[0.05], steps=[500], num_samples=2)
    best = torch.linalg.lstsq(OPERATOR.matrix_, Y[0]).solution
    torch.testing.assert_close(solve(inversion)[0], best.expand(2, 2), rtol=0, atol=1e-4)


def test_every_level_lowers_the_distance() -> None:
    inversion = ConsistencyInversion(OPERATOR, MAP, TWO_STEPS, learning_rates=[0.02, 0.02], steps=[15, 15])
    images = [state.x_0 for state in inversion.iterate(Y, NoiseSource(0, [0]))]
    assert len(images) == 32
    for level in (images[:16], images[16:]):
        first, *_, last = (OPERATOR.distance(image, Y).item() for image in level)
        assert last < 0.9 * first


class Score(Operator):
    """A measurement without noise: the distance is not a norm and is not squared."""

    forward = measure = picture = energy = None

    def distance(self, x_0: Tensor, y: Tensor) -> Tensor:
        return (x_0 - y).square().sum(dim=1) - 5.0


def test_a_distance_that_is_no_norm_is_followed_as_it_is() -> None:
    """Squared, the negative distance would be maximised."""
    goal = torch.tensor([[0.5, -0.3]])
    inversion = ConsistencyInversion(Score(), MAP, ONE_STEP, learning_rates=[0.05], steps=[500])
    torch.testing.assert_close(solve(inversion, goal)[0], goal, rtol=0, atol=1e-4)


def test_a_sample_costs_an_evaluation_and_a_gradient_per_move_and_one_per_level() -> None:
    inversion = ConsistencyInversion(
        OPERATOR, MAP, TWO_STEPS, learning_rates=[0.1, 0.1], steps=[5, 3], spread=0.1, num_samples=4
    )
    assert cost(inversion) == (4 * (5 + 3 + 2), 4 * (5 + 3 + 2))


@pytest.mark.parametrize(("rates", "steps"), [([0.1], [5, 5]), ([0.1, 0.1], [5]), ([], []), ([0.1] * 3, [5] * 3)])
def test_each_level_needs_its_numbers(rates: list[float], steps: list[int]) -> None:
    with pytest.raises(ValueError, match="needs 2 learning_rates and steps, but got"):
        ConsistencyInversion(OPERATOR, MAP, TWO_STEPS, learning_rates=rates, steps=steps)


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="steps >= 0"):
        ConsistencyInversion(OPERATOR, MAP, ONE_STEP, learning_rates=[0.1], steps=[-1])
    for spread in (-0.1, math.inf, math.nan):
        with pytest.raises(ValueError, match="finite spread >= 0"):
            ConsistencyInversion(OPERATOR, MAP, ONE_STEP, learning_rates=[0.1], steps=[1], spread=spread)
    for rate in (0.0, -1e-3, math.inf, math.nan):
        with pytest.raises(ValueError, match="finite learning_rate > 0"):
            ConsistencyInversion(OPERATOR, MAP, ONE_STEP, learning_rates=[rate], steps=[1])
