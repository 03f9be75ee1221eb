"""TFG: its corners are other methods, and between them the algorithm box in plain numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scalar_gaussian import (
    LEVELS,
    MEAN,
    OPERATOR,
    SAMPLES,
    Array,
    Draw,
    assert_images_are_independent,
    cost,
    energy,
    slope,
    solve,
    walk,
)

from dis_lightning.guidance import LikelihoodScale, SumDistance, VPScale
from dis_lightning.posteriors import PosteriorSpread
from dis_lightning.solvers import DPS, LGD, MPGD, TFG, AnnealedSolver, FreeDoM, Unguided


def build(kind: Callable[..., AnnealedSolver], **arguments: Any) -> AnnealedSolver:
    return kind(OPERATOR, MEAN.network, LEVELS, num_samples=SAMPLES, **arguments)


def tfg(**arguments: Any) -> AnnealedSolver:
    return build(TFG, **{"variance_scale": 0.0, "mean_scale": 0.0} | arguments)


DRAWS = {"spread": PosteriorSpread(0.8), "monte_carlo_samples": 3}


@pytest.mark.parametrize(
    ("corner", "other"),
    [
        ({"variance_scale": 0.3}, lambda: build(DPS, scale=0.3)),
        ({"variance_scale": 0.3, "convention": VPScale()}, lambda: build(DPS, scale=0.3, convention=VPScale())),
        ({"variance_scale": 0.3} | DRAWS, lambda: build(LGD, scale=0.3, **DRAWS)),
        (
            {"variance_scale": 0.3, "reduction": SumDistance()} | DRAWS,
            lambda: build(LGD, scale=0.3, reduction=SumDistance(), **DRAWS),
        ),
        (
            {"variance_scale": 0.3, "convention": LikelihoodScale()} | DRAWS,
            lambda: build(LGD, scale=0.3, convention=LikelihoodScale(), **DRAWS),
        ),
        ({"variance_scale": 0.3, "visits": 3}, lambda: build(FreeDoM, scale=0.3, visits=3)),
        ({"mean_scale": 0.4}, lambda: build(MPGD, scale=0.4)),
        ({}, lambda: build(Unguided)),
    ],
    ids=["DPS", "DPS in VP", "LGD", "LGD, sum", "LGD, likelihood", "FreeDoM", "MPGD", "prior"],
)
def test_a_corner_is_another_method(corner: dict[str, Any], other: Callable[[], AnnealedSolver]) -> None:
    np.testing.assert_array_equal(solve(tfg(**corner)), solve(other()))


def test_between_the_corners_the_walk_is_that_of_the_box() -> None:
    """Both kinds of guidance, both smoothed by draws of their own, and back up once."""
    rule = PosteriorSpread(0.8)

    def smoothed(x_0: Array, sigma: float, draw: Draw) -> Array:
        return np.mean([slope(x_0 + rule(sigma) * draw()) for _ in range(2)], axis=0)

    def guide(x: Array, sigma: float, draw: Draw) -> tuple[Array, Array]:
        x_0 = MEAN(x, sigma)
        shift = 0.3 * sigma * MEAN.gain(sigma) * smoothed(x_0, sigma, draw)
        for _ in range(3):
            x_0 = x_0 - 0.1 * smoothed(x_0, sigma, draw)
        return x_0, shift

    solver = tfg(variance_scale=0.3, mean_scale=0.1, iterations=3, visits=2, spread=rule, monte_carlo_samples=2)
    np.testing.assert_allclose(solve(solver), walk(guide, visits_at=lambda _: 2), rtol=1e-4, atol=1e-4)


def test_under_the_likelihood_both_kinds_follow_the_energy() -> None:
    def guide(x: Array, sigma: float, _: Draw) -> tuple[Array, float]:
        x_0 = MEAN(x, sigma)
        moved = x_0 - 0.2 * sigma**2 * MEAN.gain(sigma) * energy(x_0)[1]
        return moved - 0.02 * energy(moved)[1], 0.0

    solver = tfg(variance_scale=0.2, mean_scale=0.02, convention=LikelihoodScale())
    np.testing.assert_allclose(solve(solver), walk(guide), rtol=1e-4, atol=1e-4)


def test_images_are_independent() -> None:
    assert_images_are_independent(tfg(variance_scale=0.3, mean_scale=0.1, iterations=2, visits=2, **DRAWS))


def test_a_visit_costs_one_evaluation_and_a_gradient_where_it_goes_through_the_network() -> None:
    steps = len(LEVELS) - 1
    assert cost(tfg(variance_scale=0.3, mean_scale=0.1, visits=2), [MEAN.network]) == (2 * steps, 2 * steps)
    assert cost(tfg(mean_scale=0.1, iterations=4), [MEAN.network]) == (steps, 0)


@pytest.mark.parametrize(
    "wrong",
    [{"variance_scale": -1.0}, {"mean_scale": -1.0}, {"iterations": 0}, {"visits": 0}],
)
def test_arguments_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="TFG needs"):
        tfg(**wrong)
