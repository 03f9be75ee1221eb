"""LGD against the algorithm boxes in plain numbers, its limits, and its cost."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scalar_gaussian import (
    CONSISTENCY,
    LEVELS,
    MEAN,
    OPERATOR,
    SAMPLES,
    Array,
    Draw,
    Estimate,
    Labelled,
    assert_images_are_independent,
    cost,
    energy,
    slope,
    solve,
    walk,
)

from dis_lightning.guidance import LogMeanExp, MeanDistance, Reduction, SumDistance
from dis_lightning.noise import NoiseSource
from dis_lightning.posteriors import PosteriorSpread, Spread
from dis_lightning.solvers.dps import DPS
from dis_lightning.solvers.lgd import LGD


def lgd(estimate: Estimate = MEAN, scale: float = 0.2, **arguments: object) -> LGD:
    return LGD(OPERATOR, estimate.network, LEVELS, scale=scale, num_samples=SAMPLES, **arguments)


def weighted_energy(draws: list[Array]) -> Array:
    """The derivative of the log-mean-exp: derivatives of the energies, weighted by the likelihoods."""
    energies, slopes = np.array([energy(x_0) for x_0 in draws]).swapaxes(0, 1)
    likelihoods = np.exp(-energies)
    return (likelihoods * slopes).sum(0) / likelihoods.sum(0)


REDUCTIONS = [
    (MeanDistance(), lambda draws: np.mean([slope(x_0) for x_0 in draws], axis=0)),
    (SumDistance(), lambda draws: np.sum([slope(x_0) for x_0 in draws], axis=0)),
    (LogMeanExp(), weighted_energy),
]
SPREADS = [(0.2, lambda sigma: 0.2), (PosteriorSpread(), lambda sigma: sigma / math.sqrt(1 + sigma**2))]


@pytest.mark.parametrize("estimate", [MEAN, CONSISTENCY], ids=["LGD", "LGD-CM"])
@pytest.mark.parametrize(("spread", "rule"), SPREADS, ids=["fixed", "by level"])
@pytest.mark.parametrize(("reduction", "derivative"), REDUCTIONS, ids=["mean", "sum", "log-mean-exp"])
@pytest.mark.parametrize("draws", [1, 3])
def test_the_walk_is_that_of_the_papers(
    estimate: Estimate,
    spread: float | Spread,
    rule: Callable[[float], float],
    reduction: Reduction,
    derivative: Callable[[list[Array]], Array],
    draws: int,
) -> None:
    def guide(x: Array, sigma: float, draw: Draw) -> tuple[Array, Array]:
        x_0 = estimate(x, sigma)
        drawn = [x_0 + rule(sigma) * draw() for _ in range(draws)]
        return x_0, 0.2 * sigma * estimate.gain(sigma) * derivative(drawn)

    solver = lgd(estimate, spread=spread, monte_carlo_samples=draws, reduction=reduction)
    np.testing.assert_allclose(solve(solver), walk(guide), rtol=1e-4, atol=1e-4)


def test_without_spread_it_is_dps() -> None:
    dps = solve(DPS(OPERATOR, MEAN.network, LEVELS, scale=0.2, num_samples=SAMPLES))
    np.testing.assert_array_equal(solve(lgd(spread=0.0)), dps)
    np.testing.assert_allclose(solve(lgd(spread=0.0, monte_carlo_samples=3)), dps, rtol=1e-5, atol=1e-6)


def test_the_sum_of_m_draws_is_their_mean_at_m_times_the_scale() -> None:
    by_sum = lgd(scale=0.1, monte_carlo_samples=4, reduction=SumDistance())
    by_mean = lgd(scale=0.4, monte_carlo_samples=4)
    np.testing.assert_allclose(solve(by_sum), solve(by_mean), rtol=1e-5, atol=1e-6)


def test_more_samples_of_an_image_leave_the_first_ones_as_they_are() -> None:
    few = LGD(OPERATOR, MEAN.network, LEVELS, scale=0.2, num_samples=2, monte_carlo_samples=3)
    np.testing.assert_allclose(solve(lgd(monte_carlo_samples=3))[:2], solve(few), rtol=1e-5, atol=1e-6)


def test_images_are_independent() -> None:
    assert_images_are_independent(lgd(spread=PosteriorSpread(), monte_carlo_samples=3))


@pytest.mark.parametrize("draws", [1, 7])
def test_all_draws_share_one_evaluation_and_one_gradient_per_step(draws: int) -> None:
    assert cost(lgd(monte_carlo_samples=draws), [MEAN.network]) == (len(LEVELS) - 1, len(LEVELS) - 1)


def test_labels_reach_the_network() -> None:
    solver = LGD(OPERATOR, Labelled(), LEVELS, scale=0.0, num_samples=2)
    samples = solver.solve(torch.zeros(2, 2), NoiseSource(0, [0, 1]), labels=torch.tensor([2, 1]))
    torch.testing.assert_close(samples.squeeze(2), torch.tensor([[2.0, 2.0], [1.0, 1.0]]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": -1.0}, "LGD needs a finite scale >= 0, but got -1"),
        ({"scale": math.nan}, "LGD needs a finite scale >= 0, but got nan"),
        ({"spread": -0.1}, "finite spread >= 0, but got -0.1"),
        ({"spread": math.inf}, "finite spread >= 0, but got inf"),
        ({"monte_carlo_samples": 0}, "LGD needs monte_carlo_samples >= 1, .* but got monte_carlo_samples=0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lgd(**arguments)
