"""Gaussian prior, linear measurement: the samplers against exact means and covariances, and against NumPy by hand.

Ancestral Euler aims at the posterior mean and so comes out too narrow at coarse steps. Along an eigenvector of the
target covariance, with eigenvalue lambda and gain g = lambda / (lambda + sigma^2), a step is the linear recursion

    u_next = (w + (1 - w) g) u + sigma_up n,    w = sigma_down / sigma,

so that mean and variance after any number of levels are known exactly, bias included.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dis_lightning.levels import KarrasLevels, Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.solvers import DPS, Unguided
from dis_lightning.transitions import AncestralEuler
from studies.problems import Problem, gaussian_problem
from studies.scores import coverage

Array = NDArray[np.float64]
MANY = KarrasLevels(200)


def parts(problem: Problem) -> tuple[Array, Array, Array, Array, float]:
    """Mean and covariance of the prior, matrix and value of the measurement, noise, in double precision."""
    prior, operator = problem.prior, problem.operator
    matrix = operator.matrix(prior.shape).numpy()
    return prior.mean.double().numpy(), prior.covariance.numpy(), matrix, problem.y[0].numpy(), operator.noise_std


def truth(problem: Problem) -> tuple[Array, Array]:
    """Posterior mean and covariance by adding precisions; the package conditions by another formula."""
    m, c, a, y, noise_std = parts(problem)
    covariance = np.linalg.inv(np.linalg.inv(c) + a.T @ a / noise_std**2)
    return covariance @ (np.linalg.solve(c, m) + a.T @ y / noise_std**2), covariance


def after(levels: Levels, eta: float, mean: Array, eigenvalues: Array) -> tuple[Array, Array]:
    """Mean and variance along the eigenvectors after the levels, less the target's mean; see the module."""
    u, v = -mean, np.full_like(eigenvalues, levels[0] ** 2)
    for sigma, sigma_next in pairwise(levels):
        sigma_up = eta * sigma_next * math.sqrt(1 - (sigma_next / sigma) ** 2)
        w = math.sqrt(sigma_next**2 - sigma_up**2) / sigma
        factor = w + (1 - w) * eigenvalues / (eigenvalues + sigma**2)
        u, v = factor * u, factor**2 * v + sigma_up**2
    return u, v


def assert_moments(samples: Array, mean: Array, variances: Array, slack: float = 0.0) -> None:
    """Mean and covariance within five standard errors of those of independent coordinates, plus `slack` of them."""
    count, covariance = len(samples), np.diag(variances)
    scale = np.sqrt(np.outer(variances, variances))
    assert (np.abs(samples.mean(0) - mean) < (5 / math.sqrt(count) + slack) * np.sqrt(variances)).all()
    error = 5 * np.sqrt((scale**2 + covariance**2) / count) + slack * scale
    assert (np.abs(np.cov(samples.T) - covariance) < error).all()


@pytest.mark.parametrize("eta", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("steps", [4, 9])
def test_few_levels_give_exactly_the_moments_of_the_linear_recursion(eta: float, steps: int) -> None:
    problem, levels = gaussian_problem(6, 3), KarrasLevels(steps, sigma_min=0.05, sigma_max=20)
    samples = problem.oracle(levels, 10_000, AncestralEuler(eta)).double().numpy()
    mean, covariance = truth(problem)
    eigenvalues, basis = np.linalg.eigh(covariance)
    u, v = after(levels, eta, basis.T @ mean, eigenvalues)
    assert_moments((samples - mean) @ basis, u, v)


def test_few_levels_are_too_narrow_and_the_tolerance_sees_it() -> None:
    mean, covariance = truth(gaussian_problem(6, 3))
    eigenvalues, basis = np.linalg.eigh(covariance)
    _, v = after(KarrasLevels(9, sigma_min=0.05, sigma_max=20), 1.0, basis.T @ mean, eigenvalues)
    assert (v < (1 - 5 * math.sqrt(2 / 10_000)) * eigenvalues).all()


@pytest.fixture(scope="module")
def exact_draws() -> torch.Tensor:
    """Samples of the exact conditional denoiser at many levels."""
    return gaussian_problem(6, 3).oracle(MANY, 1500)


def test_the_recursion_approaches_the_exact_posterior_in_first_order() -> None:
    mean, covariance = truth(gaussian_problem(6, 3))
    eigenvalues, basis = np.linalg.eigh(covariance)

    def worst(steps: int) -> float:
        u, v = after(KarrasLevels(steps), 1.0, basis.T @ mean, eigenvalues)
        assert np.abs(u / np.sqrt(eigenvalues)).max() < 1e-3
        return float(np.abs(v / eigenvalues - 1).max())

    assert [worst(steps) for steps in (200, 400, 8000)] == pytest.approx([0.070, 0.036, 0.0020], rel=0.03)


def test_many_levels_give_the_exact_posterior(exact_draws: torch.Tensor) -> None:
    mean, covariance = truth(gaussian_problem(6, 3))
    eigenvalues, basis = np.linalg.eigh(covariance)
    # The slack is the bias that, by the recursion, 200 levels leave.
    assert_moments((exact_draws.double().numpy() - mean) @ basis, np.zeros(6), eigenvalues, slack=0.07)


def test_the_exact_sampler_covers_the_truth_as_often_as_it_says_and_dps_does_not(exact_draws: torch.Tensor) -> None:
    problem = gaussian_problem(6, 3)
    truths = problem.exact(1500)
    # Binomial errors of the truths and of the samples that set the size of the region; the narrowness costs 0.015.
    error = 5 * math.sqrt(2 * 0.9 * 0.1 / 1500)
    assert abs(coverage(exact_draws, truths) - 0.9) < 0.015 + error
    guided = DPS(problem.operator, problem.prior, KarrasLevels(50), scale=0.3, num_samples=500)
    # Measured 0.61: at this strength the mean is right and the spread too small.
    assert coverage(problem.draw(guided), truths) < 0.7


def dps_by_hand(problem: Problem, levels: Levels, scale: float, draw: Callable[[], Array]) -> Array:
    """DPS with the Jacobian of the Gaussian's posterior mean, `C (C + sigma^2 I)^-1`, in place of autograd."""
    m, c, a, y, _ = parts(problem)
    x = levels[0] * draw()
    for sigma, sigma_next in pairwise(levels):
        gain = c @ np.linalg.inv(c + sigma**2 * np.eye(len(m)))
        x_0 = m + (x - m) @ gain
        residual = x_0 @ a.T - y
        gradient = residual / np.linalg.norm(residual, axis=1, keepdims=True) @ a @ gain
        sigma_up = math.sqrt(sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2)
        sigma_down = math.sqrt(sigma_next**2 - sigma_up**2)
        x = x + (sigma_down - sigma) * (x - x_0) / sigma - scale * sigma * gradient
        x = x + sigma_up * draw() if sigma_next > 0 else x
    return x


@pytest.mark.parametrize(("dimension", "num_measured"), [(1, 1), (5, 2), (3, 4)])
@pytest.mark.parametrize("scale", [0.02, 0.5])
def test_dps_is_the_same_by_hand_with_the_same_noise(dimension: int, num_measured: int, scale: float) -> None:
    problem, levels, count = gaussian_problem(dimension, num_measured), KarrasLevels(20), 40
    noise = NoiseSource(0, [0]).samples(count)
    expected = dps_by_hand(problem, levels, scale, lambda: noise.normal((count, dimension)).double().numpy())
    solver = DPS(problem.operator, problem.prior, levels, scale=scale, num_samples=count)
    np.testing.assert_allclose(problem.draw(solver), expected, rtol=0, atol=1e-4)


def test_dps_without_strength_is_the_unguided_sampler() -> None:
    problem, levels = gaussian_problem(5, 2), KarrasLevels(20)
    guided = DPS(problem.operator, problem.prior, levels, scale=0.0, num_samples=8)
    unguided = Unguided(problem.operator, problem.prior, levels, num_samples=8)
    assert torch.equal(problem.draw(guided), problem.draw(unguided))


def test_dps_moves_from_the_prior_towards_the_posterior_with_a_bias_of_known_size() -> None:
    problem, levels = gaussian_problem(6, 3), KarrasLevels(50)
    mean, covariance = truth(problem)

    def bias(scale: float) -> float:
        """Distance of the means in posterior standard deviations, root mean square over the coordinates."""
        solver = DPS(problem.operator, problem.prior, levels, scale=scale, num_samples=500)
        error = problem.draw(solver).double().numpy().mean(0) - mean
        return float(np.sqrt(error @ np.linalg.solve(covariance, error) / len(mean)))

    # Measured 2.87, 1.22 and 0.06; the standard error of each is 0.05.
    prior, weak, strong = bias(0.0), bias(0.1), bias(0.3)
    assert prior > 2.5
    assert weak < 1.5
    assert strong < 0.3
