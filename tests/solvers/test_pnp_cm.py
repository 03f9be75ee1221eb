"""PnP-CM against the algorithm box in plain numbers, linear and not, and where ADMM must end."""

import math

import numpy as np
import pytest
import torch
from scalar_gaussian import (
    CONSISTENCY,
    NOISE_STD,
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

from dis_lightning.levels import GrowingSignalLevels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import GaussianOperator
from dis_lightning.solvers import PnPCM

LEVELS = GrowingSignalLevels(150, 0.05)
DELTAS = [0.3, 0.05, 0.2, 0.2]


class Bent(GaussianOperator):
    """`y = A (x_0 + x_0^3 / 10)`: not linear, and one image for every y."""

    def forward(self, x_0: Tensor) -> Tensor:
        return (x_0 + x_0**3 / 10) * torch.tensor(A).to(x_0)


def pnp(operator: GaussianOperator = OPERATOR, **arguments: object) -> PnPCM:
    return PnPCM(operator, CONSISTENCY.network, LEVELS, num_samples=SAMPLES, **arguments)


def proximal(centre: Array, rho: float) -> Array:
    return (A @ Y + rho * centre) / (A @ A + rho)


def bent_proximal(centre: Array, rho: float) -> Array:
    """By Newton's method on the derivative of `|A (z + z^3/10) - y|^2 / 2 + rho |z - centre|^2 / 2`."""
    z = centre.copy()
    for _ in range(50):
        bent, slope = z + z**3 / 10, 1 + 0.3 * z**2
        gradient = slope * (bent * (A @ A) - A @ Y) + rho * (z - centre)
        curvature = slope**2 * (A @ A) + 0.6 * z * (bent * (A @ A) - A @ Y) + rho
        z = z - gradient / curvature
    return z


def paper(step: object, penalties: tuple[float, float], momentum: float) -> Array:
    rows = NoiseSource(0, [0]).samples(SAMPLES)
    if step is bent_proximal:
        rows.normal((SAMPLES, 1))  # the first guess
    x = x_hat = u = u_hat = np.zeros(SAMPLES)
    for k, (raw, delta) in enumerate(zip(np.linspace(*penalties, 4), DELTAS, strict=True), start=1):
        rho, sigma = math.log1p(math.exp(raw)), LEVELS[k - 1]
        z = step(x_hat - u_hat, rho)  # type: ignore[operator]
        noisy = z + u_hat + sigma * rows.normal((SAMPLES,)).double().numpy()
        x_new = CONSISTENCY(noisy, (1 + delta) * sigma)
        u_new = u_hat + z - x_new
        x_hat, u_hat = x_new + momentum / k * (x_new - x), u_new + momentum / k * (u_new - u)
        x, u = x_new, u_new
    return x


def test_the_walk_is_that_of_the_paper() -> None:
    solver = pnp(penalties=(-4.0, 4.0), momentum=0.2, deltas=DELTAS)
    np.testing.assert_allclose(solve(solver), paper(proximal, (-4.0, 4.0), 0.2), rtol=1e-4, atol=1e-4)


def test_other_measurements_are_met_by_descent() -> None:
    solver = pnp(Bent(), penalties=(-2.0, 0.0), deltas=DELTAS, learning_rate=0.05, descent_steps=600)
    np.testing.assert_allclose(solve(solver), paper(bent_proximal, (-2.0, 0.0), 0.1), rtol=0, atol=5e-3)


def test_images_are_independent() -> None:
    assert_images_are_independent(pnp())
    assert_images_are_independent(pnp(Bent(), descent_steps=3))


def test_a_sample_costs_one_evaluation_per_level_and_no_gradient() -> None:
    assert cost(pnp(), [CONSISTENCY.network]) == (4, 0)
    assert cost(pnp(Bent(), descent_steps=5), [CONSISTENCY.network]) == (4, 0)


def test_it_needs_no_noise_on_the_measurement() -> None:
    """And does not look at it where there is: the misfit is in units of the measurement."""
    quiet, noisy = (solve(pnp(Bent(noise_std), descent_steps=5)) for noise_std in (0.0, NOISE_STD))
    np.testing.assert_array_equal(quiet, noisy)


@pytest.mark.parametrize(
    "wrong",
    [{"momentum": -0.1}, {"penalties": (0.0, math.inf)}, {"deltas": [0.1] * 3}, {"descent_steps": 0}],
)
def test_arguments_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="PnPCM needs"):
        pnp(**wrong)
