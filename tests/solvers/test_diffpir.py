"""DiffPIR against the paper's algorithm box in its own variable, and against exact means."""

import math

import numpy as np
import pytest
import torch
from scalar_gaussian import (
    LEVELS,
    MEAN,
    OPERATOR,
    SAMPLES,
    A,
    Array,
    Y,
    assert_images_are_independent,
    cost,
    solve,
)
from torch import Tensor

from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import HDR, GaussianOperator, MatrixOperator, RandomInpainting
from dis_lightning.posteriors import PosteriorSpread
from dis_lightning.priors import FiniteAtomPrior, GaussianPrior
from dis_lightning.solvers import DiffPIR

NOISE_STD = OPERATOR.noise_std


class Affine(GaussianOperator):
    """A linear measurement of one number, without saying that it is linear."""

    def __init__(self, matrix: Array = A, noise_std: float = 0.0) -> None:
        super().__init__(noise_std)
        self.matrix = torch.tensor(matrix)

    def forward(self, x_0: Tensor) -> Tensor:
        return x_0 * self.matrix.to(x_0)


def diffpir(operator: GaussianOperator = OPERATOR, **arguments: object) -> DiffPIR:
    return DiffPIR(operator, MEAN.network, LEVELS, num_samples=SAMPLES, **arguments)


def paper(weight: float, zeta: float) -> Array:
    """Algorithm 1, in the variance-preserving variable of DDPM, with `abar = 1 / (1 + sigma^2)`."""
    rows = NoiseSource(0, [0]).samples(SAMPLES)
    abar = [1 / (1 + sigma**2) for sigma in LEVELS]
    u = LEVELS[0] * math.sqrt(abar[0]) * rows.normal((SAMPLES,)).double().numpy()
    for sigma, now, later in zip(LEVELS, abar, abar[1:], strict=False):
        x_0 = MEAN(u / math.sqrt(now), sigma)
        rho = weight * NOISE_STD**2 / sigma**2
        x_0 = (A @ Y + rho * x_0) / (A @ A + rho)
        eps = (u - math.sqrt(now) * x_0) / math.sqrt(1 - now)
        u = math.sqrt(later) * x_0 + math.sqrt(1 - later) * math.sqrt(1 - zeta) * eps
        if later < 1:
            u = u + math.sqrt(1 - later) * math.sqrt(zeta) * rows.normal((SAMPLES,)).double().numpy()
    return u


@pytest.mark.parametrize(("weight", "zeta"), [(1.0, 0.3), (7.0, 1.0)])
def test_the_walk_is_that_of_the_paper(weight: float, zeta: float) -> None:
    np.testing.assert_allclose(solve(diffpir(weight=weight, renewal=zeta)), paper(weight, zeta), rtol=1e-4, atol=1e-4)


def test_the_clean_estimate_is_the_exact_mean_where_the_prior_is_gaussian() -> None:
    """And pixels are independent and of one variance: then `PosteriorSpread` is the law of `x_0` given `x_t`."""
    matrix = torch.tensor([[1.0, 0.5, -0.2], [-0.3, 0.8, 0.4]])
    prior = GaussianPrior(torch.tensor([0.3, -0.2, 0.1]), 0.7**2 * torch.eye(3))
    operator = MatrixOperator(matrix, noise_std=0.4)
    y, x_t = torch.tensor([[0.5, -0.1]]), torch.tensor([[1.0, -2.0, 0.5]])
    solver = DiffPIR(operator, prior, Levels([1.3, 0.0]), spread=PosteriorSpread(0.7))
    x_0, shift = solver.guide(x_t, 1.3, y, NoiseSource(0, [0]))
    assert shift is None
    torch.testing.assert_close(x_0, prior.posterior(operator, y)(x_t, 1.3), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("spread", [0.1, 0.6, 10.0])
def test_descent_reaches_the_closed_form(spread: float) -> None:
    """In steps that the noise allows, for an operator that stretches nothing: one step is exact there."""
    unit = A / np.linalg.norm(A)
    x, y = torch.full((1, 1), 2.0), torch.tensor(Y[None]).float()
    solver = diffpir(Affine(unit, noise_std=0.5), descent_steps=1)
    expected = (unit @ Y / 0.25 + 2.0 / spread**2) / (1 / 0.25 + 1 / spread**2)
    assert solver._between(x, y, spread).item() == pytest.approx(expected, rel=1e-4)
    larger = diffpir(Affine(A / 2, noise_std=0.5), descent_steps=200)
    expected = (A @ Y / 2 / 0.25 + 2.0 / spread**2) / (A @ A / 4 / 0.25 + 1 / spread**2)
    assert larger._between(x, y, spread).item() == pytest.approx(expected, rel=1e-4)


def test_descent_reaches_the_minimum_where_the_operator_stretches_images() -> None:
    """HDR doubles contrast: steps as long as the noise allows would leap over the minimum, each farther."""
    operator, x, y = HDR(noise_std=0.1), torch.full((2, 1, 1, 1), 0.2), torch.tensor([0.5, -0.7]).reshape(2, 1, 1, 1)
    found = diffpir(operator, descent_steps=30)._between(x, y, 1.0).flatten()
    for row, measured in zip(found.tolist(), (0.5, -0.7), strict=True):
        assert row == pytest.approx((2 * measured / 0.01 + 0.2) / (4 / 0.01 + 1), abs=1e-4)


def test_one_refused_step_tells_how_long_the_next_must_be() -> None:
    """Of a measurement a hundred times as steep as the noise allows for, the value is a parabola."""
    operator = Affine(np.array([100.0]), noise_std=0.5)
    solver = diffpir(operator, descent_steps=2)
    expected = (100 * 30.0 / 0.25 + 2.0) / (100**2 / 0.25 + 1)
    assert solver._between(torch.full((1, 1), 2.0), torch.tensor([[30.0]]), 1.0).item() == pytest.approx(
        expected, rel=1e-3
    )


def test_without_noise_the_measurement_is_met() -> None:
    image, truth = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    operator = RandomInpainting(0.4)
    solver = DiffPIR(operator, FiniteAtomPrior(image[None]), Levels([10.0, 1.0, 0.0]))
    samples = solver.solve(operator(truth[None]), NoiseSource(0, [0]))[0]
    seen = operator.mask(image).bool()
    torch.testing.assert_close(samples[0][:, seen], truth[:, seen])
    torch.testing.assert_close(samples[0][:, ~seen], image[:, ~seen])


def test_images_are_independent() -> None:
    assert_images_are_independent(diffpir())
    assert_images_are_independent(diffpir(Affine(noise_std=2.0)))


def test_no_gradient_goes_through_the_network() -> None:
    assert cost(diffpir(), [MEAN.network]) == (len(LEVELS) - 1, 0)
    assert cost(diffpir(Affine(noise_std=2.0)), [MEAN.network]) == (len(LEVELS) - 1, 0)


@pytest.mark.parametrize(
    "wrong", [{"weight": 0.0}, {"weight": math.inf}, {"descent_steps": 0}, {"renewal": -0.1}, {"renewal": 1.1}]
)
def test_arguments_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"needs .*({next(iter(wrong))}|share)"):
        diffpir(**wrong)


def test_a_measurement_that_is_not_linear_needs_noise() -> None:
    with pytest.raises(ValueError, match="DiffPIR needs noise on the measurement, but Affine has noise_std=0"):
        diffpir(Affine())
