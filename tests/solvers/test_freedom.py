"""FreeDoM: DPS without time travel, the algorithm box in plain numbers, and the law of the way back up."""

import math

import numpy as np
import pytest
import torch
from scalar_gaussian import (
    LEVELS,
    MEAN,
    OPERATOR,
    SAMPLES,
    Array,
    Draw,
    assert_images_are_independent,
    cost,
    slope,
    solve,
    walk,
)
from torch import Tensor

from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.priors import Denoiser
from dis_lightning.solvers.dps import DPS
from dis_lightning.solvers.freedom import FreeDoM

MIDDLE = (0.5, 5.0)  # the levels 3 and 1 out of 10, 3, 1, 0.3


def freedom(scale: float = 0.2, **arguments: object) -> FreeDoM:
    return FreeDoM(OPERATOR, MEAN.network, LEVELS, scale=scale, num_samples=SAMPLES, **arguments)


def guide(x: Array, sigma: float, _: Draw) -> tuple[Array, Array]:
    x_0 = MEAN(x, sigma)
    return x_0, 0.2 * sigma * MEAN.gain(sigma) * slope(x_0)


def test_with_one_visit_it_is_dps() -> None:
    dps = DPS(OPERATOR, MEAN.network, LEVELS, scale=0.2, num_samples=SAMPLES)
    np.testing.assert_array_equal(solve(freedom(visits=1)), solve(dps))


def test_the_walk_is_that_of_the_paper() -> None:
    everywhere = walk(guide, visits_at=lambda _: 3)
    np.testing.assert_allclose(solve(freedom(visits=3)), everywhere, rtol=1e-4, atol=1e-4)
    in_range = walk(guide, visits_at=lambda sigma: 3 if sigma in (3.0, 1.0) else 1)
    np.testing.assert_allclose(solve(freedom(visits=3, travel_range=MIDDLE)), in_range, rtol=1e-4, atol=1e-4)


def test_the_ends_of_the_range_belong_to_it() -> None:
    on_levels = (1.0, 3.0)
    expected = solve(freedom(visits=3, travel_range=MIDDLE))
    np.testing.assert_array_equal(solve(freedom(visits=3, travel_range=on_levels)), expected)
    solver = freedom(visits=3, travel_range=on_levels)
    assert [solver.visits_at(sigma) for sigma in (10.0, 3.0, 1.0, 0.3)] == [1, 3, 3, 1]


class Recorder(Denoiser):
    """A prior of one number, 0.7, that writes down what it is asked."""

    shape = (1,)

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[float, Tensor]] = []

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        self.asked.append((float(sigma), (x_t.detach() - 0.7).flatten()))
        return 0 * x_t + 0.7


def test_every_visit_starts_from_the_marginal_of_its_level() -> None:
    """The standard deviation is sigma at each visit, and `(sigma_next / sigma)^2` correlates two visits."""
    count, prior = 4000, Recorder()
    solver = FreeDoM(OPERATOR, prior, Levels([5.0, 4.0, 1.0, 0.0]), scale=0.0, visits=3, num_samples=count)
    solver.solve(torch.zeros(1, 2), NoiseSource(0, [0]))
    assert [sigma for sigma, _ in prior.asked] == [5.0] * 3 + [4.0] * 3 + [1.0] * 3
    # All samplers start from sigma_max n, around 0: the first visits have another mean.
    for sigma, x in prior.asked[3:]:
        assert abs(x.mean() / sigma) < 5 / math.sqrt(count)
        assert abs(x.var() / sigma**2 - 1) < 5 * math.sqrt(2 / count)
    (_, first), (_, second) = prior.asked[3:5]
    correlation = torch.corrcoef(torch.stack([first, second]))[0, 1]
    assert abs(correlation - (1 / 4) ** 2) < 5 / math.sqrt(count)


def test_images_are_independent() -> None:
    assert_images_are_independent(freedom(visits=2))


def test_each_visit_costs_one_evaluation_and_one_gradient() -> None:
    assert cost(freedom(visits=3), [MEAN.network]) == (12, 12)
    assert cost(freedom(visits=3, travel_range=MIDDLE), [MEAN.network]) == (8, 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": math.inf}, "FreeDoM needs a finite scale >= 0, but got inf"),
        ({"visits": 0}, "FreeDoM needs visits >= 1, .* but got visits=0"),
        ({"travel_range": (2.0, 1.5)}, r"meets the levels, 10 to 0.3, but got \(2.0, 1.5\)"),
        ({"travel_range": (500.0, 800.0)}, "in units of sigma, not in steps"),
        ({"travel_range": (0.0, 0.1)}, r"meets the levels, 10 to 0.3, but got \(0.0, 0.1\)"),
        ({"travel_range": (math.nan, math.inf)}, "meets the levels"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        freedom(**arguments)
