"""MPGD against the algorithm box in plain numbers, in closed form on a linear operator, and its cost."""

import math

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
    assert_images_are_independent,
    cost,
    slope,
    solve,
    walk,
)

from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import AveragePool
from dis_lightning.priors import FiniteAtomPrior
from dis_lightning.solvers.mpgd import MPGD
from dis_lightning.solvers.unguided import Unguided


def mpgd(estimate: Estimate = MEAN, scale: float = 0.2) -> MPGD:
    return MPGD(OPERATOR, estimate.network, LEVELS, scale=scale, num_samples=SAMPLES)


@pytest.mark.parametrize("estimate", [MEAN, CONSISTENCY], ids=["MPGD", "MPGD-CM"])
def test_the_walk_is_that_of_the_papers(estimate: Estimate) -> None:
    def guide(x: Array, sigma: float, _: Draw) -> tuple[Array, float]:
        x_0 = estimate(x, sigma)
        return x_0 - 0.2 * slope(x_0), 0.0

    np.testing.assert_allclose(solve(mpgd(estimate)), walk(guide), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_the_step_on_average_pooling_is_known_in_closed_form(scale: float) -> None:
    """`x_0' = x_0 - scale A^T r / |r|`, and since `A A^T = I / 4`, the residual's norm falls by `scale / 4`."""
    image, truth = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    operator = AveragePool(2)
    y, residual = operator(truth[None]), operator(image[None] - truth[None])
    solver = MPGD(operator, FiniteAtomPrior(image[None]), Levels([10.0, 0.0]), scale=scale)
    moved = solver.solve(y, NoiseSource(0, [0]))[0]
    torch.testing.assert_close(moved, image[None] - scale * operator.adjoint(residual / residual.norm()))
    torch.testing.assert_close((operator(moved) - y).norm(), (residual.norm() - scale / 4).abs())


def test_without_guidance_it_samples_the_prior() -> None:
    prior = Unguided(OPERATOR, MEAN.network, LEVELS, num_samples=SAMPLES)
    np.testing.assert_array_equal(solve(mpgd(scale=0.0)), solve(prior))


def test_images_are_independent() -> None:
    assert_images_are_independent(mpgd())


def test_no_gradient_goes_through_the_network() -> None:
    assert cost(mpgd(), [MEAN.network]) == (len(LEVELS) - 1, 0)


@pytest.mark.parametrize("scale", [-0.1, math.inf, math.nan])
def test_a_scale_out_of_range_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="MPGD needs a finite scale >= 0, but got"):
        mpgd(scale=scale)
