"""Noise-space Langevin: exact posteriors on a linear map, its chains, its costs."""

import math
from collections.abc import Callable

import pytest
import torch
from linear_gaussian import MAP, ONE_STEP, OPERATOR, PRIOR, SIGMA_MIN, TWO_STEPS, Y, affine, assert_law, cost, solve
from torch import Tensor

from dis_lightning.kernels import HMC, MALA, EulerMaruyama, ExponentialIntegrator, Kernel
from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import MatrixOperator
from dis_lightning.priors import GaussianPrior
from dis_lightning.solvers.consistency_inversion import ConsistencyInversion
from dis_lightning.solvers.consistency_sampling import ConsistencySampling
from dis_lightning.solvers.langevin import NoiseSpaceLangevin

STILL = EulerMaruyama(1e-12)
THREE_STEPS = Levels([80.0, 3.0, 1.0, SIGMA_MIN])
TAU = 0.2


def langevin(kernel: Kernel = STILL, levels: Levels = ONE_STEP, **arguments: object) -> NoiseSpaceLangevin:
    return NoiseSpaceLangevin(OPERATOR, MAP, levels, kernel=kernel, **{"warm_start": 0, **arguments})


def chains_of(kernel: Kernel, levels: Levels, moves: int, rows: int) -> Tensor:
    """The images of independent chains after so many moves from the prior, `(rows, 2)`."""
    solver = langevin(kernel, levels, num_samples=rows, chains=rows, burn_in=moves - 1)
    return solve(solver)[0]


def posterior_in_noise_space(levels: Levels, inner: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The curvature H of the energy, the posterior mean of z, and J and b of the generator with this inner noise."""
    std = math.sqrt(levels[1] ** 2 - SIGMA_MIN**2)

    def generator(z: Tensor) -> Tensor:
        x_0 = MAP(80 * z, 80.0)
        return x_0 if len(levels) == 2 else MAP(x_0 + std * inner, levels[1])

    matrix, offset = affine(generator)
    forward = OPERATOR.matrix_.double() @ matrix
    curvature = forward.T @ forward / OPERATOR.noise_std**2
    pull = forward.T @ (Y[0].double() - OPERATOR.matrix_.double() @ offset) / OPERATOR.noise_std**2
    return curvature, torch.linalg.solve(curvature + torch.eye(2), pull), matrix, offset


def exact(curvature: Tensor) -> Tensor:
    return torch.linalg.inv(torch.eye(2) + curvature)


def euler_maruyama(curvature: Tensor) -> Tensor:
    precision = torch.eye(2) + curvature
    return torch.linalg.inv(precision @ (torch.eye(2) - TAU / 2 * precision))


def exponential_integrator(curvature: Tensor) -> Tensor:
    step = math.exp(-TAU) * torch.eye(2) - (1 - math.exp(-TAU)) * curvature
    return (1 - math.exp(-2 * TAU)) * torch.linalg.inv(torch.eye(2) - step @ step)


@pytest.mark.parametrize(
    ("kernel", "law"),
    [
        (EulerMaruyama(TAU), euler_maruyama),
        (ExponentialIntegrator(TAU), exponential_integrator),
        (MALA(0.4), exact),
        (HMC(0.4, leapfrog_steps=2), exact),
    ],
    ids=lambda part: type(part).__name__ if isinstance(part, Kernel) else "",
)
def test_chains_reach_the_exact_posterior_but_for_the_known_bias(
    kernel: Kernel, law: Callable[[Tensor], Tensor]
) -> None:
    curvature, mean, matrix, offset = posterior_in_noise_space(ONE_STEP, torch.zeros(1, 2))
    images = chains_of(kernel, ONE_STEP, moves=35, rows=1500)
    assert_law(images, matrix @ mean + offset, matrix @ law(curvature) @ matrix.T)


def test_the_noise_space_posterior_is_the_posterior_of_images() -> None:
    """The map of the Gaussian pushes noise to the prior (but for sigma_max = 80), so both must agree."""
    curvature, mean, matrix, offset = posterior_in_noise_space(ONE_STEP, torch.zeros(1, 2))
    truth = PRIOR.posterior(OPERATOR, Y)
    torch.testing.assert_close(matrix @ mean + offset, truth.mean.double(), rtol=0, atol=5e-3)
    torch.testing.assert_close(matrix @ exact(curvature) @ matrix.T, truth.covariance, rtol=0, atol=1e-3)


def test_with_two_steps_each_chain_reaches_the_posterior_of_its_own_inner_noise() -> None:
    rows = 1500
    noise = NoiseSource(0, [0]).samples(rows)
    _, inner = noise.normal((rows, 2)), noise.normal((rows, 2))
    curvature, mean, matrix, offset = posterior_in_noise_space(TWO_STEPS, torch.zeros(1, 2))
    shifts = [posterior_in_noise_space(TWO_STEPS, n[None]) for n in inner[:40]]
    # Means and offsets are linear in the inner noise: two unit vectors would do, 40 rows check it.
    units = [posterior_in_noise_space(TWO_STEPS, n[None]) for n in torch.eye(2)]
    centre = matrix @ mean + offset
    slope = torch.stack([m @ z + b - centre for _, z, m, b in units], dim=1)
    own = centre + inner.double() @ slope.T
    for row, (_, z, m, b) in enumerate(shifts):
        torch.testing.assert_close(own[row], m @ z + b, rtol=0, atol=1e-5)
    images = chains_of(MALA(0.4), TWO_STEPS, moves=35, rows=rows)
    assert_law(images.double() - own, torch.zeros(2), matrix @ exact(curvature) @ matrix.T)


@pytest.mark.parametrize("levels", [ONE_STEP, TWO_STEPS, THREE_STEPS], ids=repr)
def test_a_chain_that_stands_still_is_consistency_sampling(levels: Levels) -> None:
    still = solve(langevin(STILL, levels, num_samples=2, chains=2))
    sampling = solve(ConsistencySampling(OPERATOR, MAP, levels, num_samples=2))
    torch.testing.assert_close(still, sampling, rtol=0, atol=1e-5)


def test_the_warm_start_is_consistency_inversion() -> None:
    still = solve(langevin(STILL, warm_start=30, learning_rate=0.05))
    inversion = solve(ConsistencyInversion(OPERATOR, MAP, ONE_STEP, learning_rates=[0.05], steps=[30]))
    torch.testing.assert_close(still, inversion, rtol=0, atol=1e-4)


def test_inner_noise_is_drawn_once_per_chain() -> None:
    still = solve(langevin(STILL, TWO_STEPS, num_samples=6, chains=2))[0]
    first, second = still[:3], still[3:]
    torch.testing.assert_close(first, first[:1].expand(3, 2), rtol=0, atol=1e-5)
    torch.testing.assert_close(second, second[:1].expand(3, 2), rtol=0, atol=1e-5)
    assert (first[0] - second[0]).abs().min() > 1e-3


@pytest.mark.parametrize("kernel", [EulerMaruyama(0.1), MALA(0.3), HMC(0.3)], ids=lambda kernel: type(kernel).__name__)
def test_burn_in_and_thinning_choose_among_the_moves_of_one_chain(kernel: Kernel) -> None:
    full = solve(langevin(kernel, num_samples=9, warm_start=3))[0]
    torch.testing.assert_close(solve(langevin(kernel, num_samples=6, warm_start=3, burn_in=3))[0], full[3:])
    torch.testing.assert_close(solve(langevin(kernel, num_samples=3, warm_start=3, thinning=3))[0], full[2::3])
    torch.testing.assert_close(
        solve(langevin(kernel, num_samples=2, warm_start=3, burn_in=1, thinning=4))[0], full[4::4]
    )


def test_samples_come_image_by_image_and_chain_by_chain() -> None:
    several = solve(langevin(MALA(0.3), num_samples=6, chains=2), indices=(4, 7))
    for place, index in enumerate((4, 7)):
        alone = solve(langevin(MALA(0.3), num_samples=6, chains=2), indices=(index,))
        torch.testing.assert_close(several[place], alone[0])
        first = solve(langevin(MALA(0.3), num_samples=3), indices=(index,))
        torch.testing.assert_close(several[place, :3], first[0])


@pytest.mark.parametrize("levels", [ONE_STEP, TWO_STEPS], ids=repr)
@pytest.mark.parametrize(("kernel", "calls"), [(EulerMaruyama(0.1), 1), (MALA(0.1), 1), (HMC(0.1, 4), 4)])
def test_a_further_sample_costs_one_evaluation_and_one_gradient_per_step_of_the_generator(
    levels: Levels, kernel: Kernel, calls: int
) -> None:
    count = len(levels) - 1
    start = cost(langevin(kernel, levels, num_samples=2, chains=2, warm_start=5, burn_in=3))
    more = cost(langevin(kernel, levels, num_samples=2 + 2 * 10, chains=2, warm_start=5, burn_in=3))
    assert start == (2 * count * (1 + 5 + 4 * calls),) * 2
    assert more == (start[0] + 20 * count * calls,) * 2


def test_a_chain_that_diverges_is_recorded_and_alone() -> None:
    """By a measurement that is not finite, or by a step that is too large."""

    class Overflowing(MatrixOperator):
        """What is darkest becomes infinite."""

        def measure(self, x_0: Tensor, noise: NoiseSource) -> Tensor:
            y = super().measure(x_0, noise)
            return y.masked_fill((x_0 == -1).flatten(1), math.inf)

    prior = GaussianPrior(torch.zeros(3, 2, 2), torch.eye(12, dtype=torch.float64))
    operator = Overflowing(torch.eye(12), noise_std=0.5, shape=(3, 2, 2))

    def predict(kernel: Kernel, rows: slice) -> Tensor:
        parts = {"kernel": kernel, "warm_start": 2, "burn_in": 40, "num_samples": 4}
        solver = NoiseSpaceLangevin(operator, prior.consistency_map(), ONE_STEP, **parts)
        return solver.predict_step({key: value[rows] for key, value in batch.items()}).draws.diverged

    images = torch.stack([torch.zeros(3, 2, 2), -torch.ones(3, 2, 2), torch.ones(3, 2, 2)])
    batch = {"image": images, "index": torch.tensor([0, 1, 2]), "name": ["a", "b", "c"]}
    assert predict(EulerMaruyama(0.01), slice(None)).tolist() == [[False] * 4, [True] * 4, [False] * 4]
    assert predict(EulerMaruyama(30.0), slice(1))[0].any()


@pytest.mark.parametrize(
    "bad", [{"warm_start": -1}, {"burn_in": -1}, {"thinning": 0}, {"chains": 0}, {"chains": 3}, {"chains": 8}]
)
def test_numbers_out_of_range_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(
        ValueError,
        match="NoiseSpaceLangevin needs .*{}".format("=".join(str(part) for part in next(iter(bad.items())))),
    ):
        langevin(num_samples=4, **bad)


@pytest.mark.parametrize("rate", [0.0, -1e-3, math.inf, math.nan])
def test_a_learning_rate_out_of_range_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="finite learning_rate > 0"):
        langevin(learning_rate=rate)


def test_a_missing_kernel_is_named() -> None:
    with pytest.raises(TypeError, match="NoiseSpaceLangevin needs a `kernel` of type Kernel, but got none"):
        langevin(kernel=None)


def test_a_measurement_without_noise_is_refused() -> None:
    with pytest.raises(ValueError, match="MatrixOperator has noise_std=0"):
        NoiseSpaceLangevin(MatrixOperator(torch.eye(2)), MAP, ONE_STEP, kernel=STILL)
