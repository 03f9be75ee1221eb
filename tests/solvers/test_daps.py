"""DAPS: its draw given the measurement in closed form, its chain against that, its levels against the paper's box."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from linear_gaussian import OPERATOR as LINEAR
from linear_gaussian import PRIOR, Y, assert_law
from scalar_gaussian import (
    LEVELS,
    MEAN,
    NOISE_STD,
    OPERATOR,
    SAMPLES,
    A,
    Array,
    assert_images_are_independent,
    cost,
    solve,
)
from scalar_gaussian import Y as SCALAR_Y

from dis_lightning.kernels import HMC, Adam, EulerMaruyama, Kernel
from dis_lightning.levels import KarrasLevels, Levels, karras
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import MatrixOperator, PhaseRetrieval
from dis_lightning.posteriors import PosteriorSpread
from dis_lightning.priors import FiniteAtomPrior, GaussianPrior
from dis_lightning.solvers import DAPS, Solver
from dis_lightning.solvers.daps import DecayingReach
from dis_lightning.solvers.functional.proximity import reach

DRAWS = 4000


def daps(**arguments: object) -> DAPS:
    return DAPS(OPERATOR, MEAN.network, LEVELS, **{"flow_steps": 2, "num_samples": SAMPLES} | arguments)


def law(x_0: torch.Tensor, spread: float, weight: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and covariance of `N(x_0, spread^2) p(y | x)^weight`, by its precision."""
    matrix = LINEAR.matrix((2,))
    precision = torch.eye(2, dtype=torch.float64) / spread**2 + weight * matrix.T @ matrix / LINEAR.noise_std**2
    covariance = precision.inverse()
    pull = x_0.double() / spread**2 + weight * Y[0].double() @ matrix / LINEAR.noise_std**2
    return covariance @ pull, covariance


@pytest.mark.parametrize("weight", [1.0, 4.0])
@pytest.mark.parametrize("kernel", [None, HMC(0.4, leapfrog_steps=3)], ids=["closed form", "HMC"])
def test_the_clean_image_is_drawn_from_what_is_known_of_it(kernel: Kernel | None, weight: float) -> None:
    noise = NoiseSource(0, [0]).samples(DRAWS)
    solver = DAPS(LINEAR, PRIOR, Levels([1.5, 0.0]), kernel=kernel, moves=15, likelihood_weight=weight, flow_steps=3)
    x_t = torch.tensor([[1.0, -2.0]])
    x_0 = solver._flow()(x_t, 1.5, noise).samples[0][0]
    drawn, shift = solver.guide(x_t.expand(DRAWS, 2), 1.5, Y.expand(DRAWS, 3), noise)
    assert shift is None
    assert_law(drawn, *law(x_0, 1.5, weight))


def test_a_descent_ends_at_the_mean_of_that_law() -> None:
    x_t = torch.tensor([[1.0, -2.0]])
    solver = DAPS(LINEAR, PRIOR, Levels([1.5, 0.0]), kernel=Adam(0.05), moves=600, flow_steps=3)
    x_0 = solver._flow()(x_t, 1.5, NoiseSource(0, [0])).samples[0][0]
    found, _ = solver.guide(x_t, 1.5, Y, NoiseSource(0, [0]))
    torch.testing.assert_close(found[0].double(), law(x_0, 1.5, 1.0)[0], rtol=0.01, atol=0.01)


def paper(steps: int) -> Array:
    """The algorithm box, with the exact draw of a scalar: flow, draw, and the noise of the next level."""
    rows = NoiseSource(0, [0]).samples(SAMPLES)

    def draw(*shape: int) -> Array:
        return rows.normal((SAMPLES, *shape)).double().numpy()

    x = LEVELS[0] * draw()
    for sigma, sigma_next in pairwise(LEVELS):
        grid = [sigma, *(karras(k / (steps - 1), 0.01, sigma, 7.0) for k in range(1, steps)), 0.0]
        for level, level_next in pairwise(grid):
            x = x + (level_next - level) * (x - MEAN(x, level)) / level
        y, centre = SCALAR_Y + NOISE_STD * draw(2), x + sigma * draw()
        x = (y @ A / NOISE_STD**2 + centre / sigma**2) / (A @ A / NOISE_STD**2 + 1 / sigma**2)
        if sigma_next > 0:
            x = x + sigma_next * draw()
    return x


def test_the_walk_is_that_of_the_paper() -> None:
    np.testing.assert_allclose(solve(daps()), paper(2), rtol=1e-4, atol=1e-4)


def test_a_chain_stays_stable_at_all_levels_with_one_step_size() -> None:
    """Levels from 100 to 0.01 and a measurement 300 times finer than the first: constant steps in x could not."""
    prior = GaussianPrior(torch.zeros(2), torch.eye(2))
    operator = MatrixOperator(torch.tensor([[0.6, 0.8]]), noise_std=0.3)
    y = torch.tensor([[0.7]])
    solver = DAPS(
        operator,
        prior,
        KarrasLevels(12, 0.01, 100.0),
        kernel=EulerMaruyama(0.2),
        moves=30,
        spread=PosteriorSpread(1.0),
        num_samples=500,
    )
    samples = solver.solve(y, NoiseSource(0, [0]))[0].double()
    exact = prior.posterior(operator, y)
    along = samples @ torch.tensor([0.6, 0.8]).double()
    truth = exact.mean.double() @ torch.tensor([0.6, 0.8]).double()
    assert abs(along.mean().item() - truth.item()) < 0.1
    assert 0.1 < along.std().item() < 0.6


def test_published_steps_fall_to_a_hundredth_along_the_levels() -> None:
    rule = DecayingReach(sigma_max=100.0, sigma_min=0.1, ratio=0.01)
    fractions = [0.0, 0.25, 0.5, 1.0]
    steps = [rule(karras(fraction, 0.1, 100.0, 7.0)) ** 2 for fraction in fractions]
    np.testing.assert_allclose(steps, [1 - 0.99 * fraction for fraction in fractions])
    assert (rule(1000.0), rule(0.001)) == (1.0, pytest.approx(0.1))


def test_a_published_step_in_the_image_is_the_authors() -> None:
    """One Langevin move: `x + eta ((x_0 - x) / sigma^2 - w grad E) + sqrt(2 eta) n`, from `x_0`."""
    sigma, eta, rule = 3.0, 1e-3, DecayingReach(10.0, 0.3, 0.1)
    solver = daps(kernel=EulerMaruyama(eta), moves=1, reach=rule, likelihood_weight=2.0)
    x_t, y = torch.tensor([[2.0]]), torch.tensor(SCALAR_Y[None]).float()
    x_0 = solver._flow()(x_t, sigma, NoiseSource(0, [0])).samples[0]
    moved = solver.guide(x_t, sigma, y, NoiseSource(0, [0])).x_0.item()
    step = eta * rule(sigma) ** 2
    gradient = (x_0.item() * A - SCALAR_Y) @ A / NOISE_STD**2
    n = NoiseSource(0, [0]).normal((1, 1)).item()
    assert moved == pytest.approx(x_0.item() - 2 * step * gradient + math.sqrt(2 * step) * n, rel=1e-5)


def test_images_are_independent() -> None:
    assert_images_are_independent(daps())
    assert_images_are_independent(daps(kernel=EulerMaruyama(0.05), moves=3))


def test_a_sample_costs_the_steps_of_the_flow_at_every_level_and_no_gradient() -> None:
    solvers: list[Solver] = [daps(), daps(kernel=EulerMaruyama(0.05), moves=3)]
    assert [cost(solver, [MEAN.network]) for solver in solvers] == [(2 * (len(LEVELS) - 1), 0)] * 2


def test_what_cannot_work_is_refused_at_the_start() -> None:
    atoms = FiniteAtomPrior(torch.zeros(1, 1, 8, 8))
    with pytest.raises(TypeError, match="DAPS needs a `kernel` for PhaseRetrieval, which is not linear; give Euler"):
        DAPS(PhaseRetrieval(noise_std=0.1), atoms, LEVELS)
    with pytest.raises(ValueError, match="DAPS needs noise on the measurement, but PhaseRetrieval has noise_std=0"):
        DAPS(PhaseRetrieval(), atoms, LEVELS, kernel=EulerMaruyama(0.1))
    for wrong in ({"moves": 0}, {"likelihood_weight": 0.0}, {"flow_steps": 0}, {"flow_sigma_min": 0.0}):
        with pytest.raises(ValueError, match="needs"):
            daps(**wrong)
    with pytest.raises(ValueError, match="DecayingReach needs 0 < sigma_min"):
        DecayingReach(sigma_min=200.0)


def test_the_reach_follows_the_level_down_and_the_noise_up() -> None:
    assert reach(LINEAR, 1e3) == pytest.approx(LINEAR.noise_std, rel=1e-3)
    assert reach(LINEAR, 1e-3) == pytest.approx(1e-3, rel=1e-3)
    assert reach(LINEAR, 1e3, weight=4.0) == pytest.approx(LINEAR.noise_std / 2, rel=1e-3)
