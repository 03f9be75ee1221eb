"""Kernels: their formulas, and the law that each leaves unchanged, in closed form."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from one_stream import OneStream
from torch import Tensor

from dis_lightning.kernels import (
    HMC,
    MALA,
    Adam,
    EulerMaruyama,
    ExponentialIntegrator,
    Kernel,
    Point,
    Target,
    differentiate,
    walk,
)
from dis_lightning.noise import NoiseSource

H = torch.tensor([[2.0, 0.8], [0.8, 0.5]])
CENTRE = torch.tensor([0.7, -0.4])
PRECISION = H.double() + torch.eye(2, dtype=torch.float64)
MEAN = torch.linalg.solve(PRECISION, H.double() @ CENTRE.double())
SAMPLERS = [EulerMaruyama(0.1), ExponentialIntegrator(0.1), MALA(0.3), HMC(0.5, leapfrog_steps=3)]


def name(kernel: Kernel) -> str:
    return type(kernel).__name__


@differentiate
def quadratic(z: Tensor) -> tuple[Tensor, Tensor]:
    """E = (z - c)^T H (z - c) / 2: with the prior's part, a Gaussian of precision H + 1."""
    r = z - CENTRE.to(z)
    return (r * (r @ H.to(z))).sum(dim=1) / 2, 3 * z


@differentiate
def bumpy(z: Tensor) -> tuple[Tensor, Tensor]:
    return (z**4 / 4 + torch.sin(3 * z) + z.roll(1, dims=1) * z).sum(dim=1), z


def streams(rows: int, seed: int = 0) -> NoiseSource:
    return NoiseSource(seed, [0]).samples(rows)


def run(kernel: Kernel, target: Target, noise: NoiseSource, steps: int, start: Tensor) -> Point:
    return list(walk(kernel, target(start), steps, target, noise))[-1]


def assert_law(z: Tensor, mean: Tensor, covariance: Tensor) -> None:
    """Compare mean and covariance of rows with the truth, within 5 standard errors."""
    z, count = z.double(), len(z)
    variances = covariance.diagonal()
    assert ((z.mean(dim=0) - mean).abs() < 5 * (variances / count).sqrt()).all()
    error = ((torch.outer(variances, variances) + covariance.square()) / count).sqrt()
    assert ((z.T.cov() - covariance).abs() < 5 * error).all()


def bias_of_euler_maruyama(tau: float) -> Tensor:
    """Solve S = M S M + 2 tau with M = 1 - tau P: S = P^-1 (1 - tau P / 2)^-1."""
    return torch.linalg.inv(PRECISION @ (torch.eye(2) - tau / 2 * PRECISION))


def bias_of_exponential_integrator(tau: float) -> Tensor:
    """Solve S = M S M + 1 - e^(-2 tau) with M = e^-tau - (1 - e^-tau) H."""
    eye = torch.eye(2, dtype=torch.float64)
    contraction = math.exp(-tau) * eye - (1 - math.exp(-tau)) * H.double()
    return (1 - math.exp(-2 * tau)) * torch.linalg.inv(eye - contraction @ contraction)


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.9), (0.0, 0.0)])
def test_adam_follows_the_library_step_by_step(betas: tuple[float, float]) -> None:
    z = torch.randn(3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    parameter = z.clone().requires_grad_()
    library = torch.optim.Adam([parameter], lr=0.05, betas=betas)
    for point in walk(Adam(0.05, betas), bumpy(z), 25, bumpy, streams(3)):
        library.zero_grad()
        (parameter**4 / 4 + torch.sin(3 * parameter) + parameter.roll(1, dims=1) * parameter).sum().backward()
        library.step()
        torch.testing.assert_close(point.z, parameter.detach(), rtol=1e-11, atol=1e-11)


def test_adam_does_not_feel_the_scale_of_the_energy() -> None:
    @differentiate
    def steep(z: Tensor) -> tuple[Tensor, Tensor]:
        r = z - CENTRE
        return 1e3 * (r * (r @ H)).sum(dim=1) / 2, z

    start, kernel = torch.randn(4, 2, generator=torch.Generator().manual_seed(0)), Adam(0.05)
    flat = run(kernel, quadratic, streams(4), 20, start)
    torch.testing.assert_close(run(kernel, steep, streams(4), 20, start).z, flat.z, rtol=1e-4, atol=1e-5)


def test_adam_reaches_the_minimum_of_the_energy_alone() -> None:
    end = run(Adam(0.02), quadratic, streams(4), 600, torch.zeros(4, 2))
    torch.testing.assert_close(end.z, CENTRE.expand(4, 2), rtol=0, atol=1e-3)


@pytest.mark.parametrize("pull", [1.0, 1 / 6400])
def test_an_euler_maruyama_step_is_the_paper_s(pull: float) -> None:
    point, tau = quadratic(torch.randn(6, 2, generator=torch.Generator().manual_seed(1))), 0.07
    moved, _ = EulerMaruyama(tau, pull).step(point, (), quadratic, streams(6))
    n, z, g = streams(6).normal((6, 2)).numpy(), point.z.numpy(), point.gradient.numpy()
    np.testing.assert_allclose(moved.z, (1 - tau * pull) * z - tau * g + np.sqrt(2 * tau) * n, rtol=0, atol=1e-6)


@pytest.mark.parametrize("tau", [0.3, 1e-7])
def test_an_exponential_integrator_step_is_the_paper_s(tau: float) -> None:
    point = quadratic(torch.randn(6, 2, generator=torch.Generator().manual_seed(1)))
    moved, _ = ExponentialIntegrator(tau).step(point, (), quadratic, streams(6))
    n, z, g = streams(6).normal((6, 2)).numpy(), point.z.numpy(), point.gradient.numpy()
    paper = np.exp(-tau) * z - (1 - np.exp(-tau)) * g + np.sqrt(1 - np.exp(-2 * tau)) * n
    np.testing.assert_allclose(moved.z, paper, rtol=0, atol=1e-6)


@pytest.mark.parametrize("tau", [0.1, 0.3])
@pytest.mark.parametrize(
    ("kind", "law"),
    [(EulerMaruyama, bias_of_euler_maruyama), (ExponentialIntegrator, bias_of_exponential_integrator)],
)
def test_langevin_steps_have_their_own_stationary_law(
    kind: Callable[[float], Kernel], law: Callable[[float], Tensor], tau: float
) -> None:
    start = OneStream(1).normal((3000, 2))
    end = run(kind(tau), quadratic, OneStream(), round(6 / tau), start)
    assert_law(end.z, MEAN, law(tau))


@pytest.mark.parametrize("law", [bias_of_euler_maruyama, bias_of_exponential_integrator])
def test_the_bias_of_langevin_steps_is_of_first_order_and_visible(law: Callable[[float], Tensor]) -> None:
    truth = torch.linalg.inv(PRECISION)
    small, large = (torch.linalg.norm(law(tau) - truth) for tau in (1e-4, 2e-4))
    assert large / small == pytest.approx(2, rel=1e-3)
    with pytest.raises(AssertionError):
        assert_law(torch.distributions.MultivariateNormal(MEAN, law(0.3)).sample((3000,)), MEAN, truth)


@pytest.mark.parametrize("kernel", [MALA(0.3), HMC(0.6, leapfrog_steps=3)], ids=name)
def test_kernels_with_an_accept_step_reach_the_exact_law(kernel: Kernel) -> None:
    start = OneStream(1).normal((3000, 2))
    path = list(walk(kernel, quadratic(start), 40, quadratic, OneStream()))
    assert_law(path[-1].z, MEAN, torch.linalg.inv(PRECISION))
    accepted = (path[-1].z != path[-2].z).any(dim=1).double().mean()
    assert 0.5 < accepted < 0.98  # otherwise the accept step was not put to the test


@pytest.mark.parametrize("kernel", [MALA(0.15), HMC(0.4, leapfrog_steps=4)], ids=name)
def test_kernels_with_an_accept_step_are_exact_off_gaussians(kernel: Kernel) -> None:
    """A double well of unequal depths, against quadrature."""

    @differentiate
    def wells(z: Tensor) -> tuple[Tensor, Tensor]:
        return ((z**2 - 1) ** 2 + 0.4 * z).sum(dim=1), z

    grid = np.linspace(-6, 6, 20001)
    density = np.exp(-((grid**2 - 1) ** 2) - 0.4 * grid - grid**2 / 2)
    below = density.cumsum() / density.sum()
    z = run(kernel, wells, OneStream(), 80, OneStream(1).normal((3000, 1))).z
    for quantile in (-1.0, -0.5, 0.0, 0.5, 1.0):
        share = below[np.searchsorted(grid, quantile)]
        assert abs((z < quantile).double().mean() - share) < 5 * math.sqrt(share * (1 - share) / 3000)


def test_mala_accepts_by_the_ratio_of_langevin_proposals() -> None:
    """The textbook rule: pi(z') q(z | z') / (pi(z) q(z' | z)) with the density q of an Euler-Maruyama step."""
    tau, rows = 0.25, 400
    point = bumpy(0.5 * streams(rows, seed=1).normal((rows, 3)))
    moved, _ = MALA(tau).step(point, (), bumpy, streams(rows))
    noise = streams(rows)
    n, uniform = noise.normal((rows, 3)), torch.special.ndtr(noise.normal((rows,), torch.float64))
    proposal = bumpy(point.z - tau * (point.z + point.gradient) + math.sqrt(2 * tau) * n)

    def log_density(to: Point, start: Point) -> Tensor:
        mean = start.z - tau * (start.z + start.gradient)
        return -(to.z - mean).double().square().sum(dim=1) / (4 * tau)

    def log_pi(at: Point) -> Tensor:
        return -at.energy.double() - at.z.double().square().sum(dim=1) / 2

    ratio = log_pi(proposal) - log_pi(point) + log_density(point, proposal) - log_density(proposal, point)
    accepted = uniform.log() < ratio
    assert 0.2 < accepted.double().mean() < 0.8
    torch.testing.assert_close(moved.z, torch.where(accepted[:, None], proposal.z, point.z), rtol=0, atol=1e-5)


def test_a_rejected_move_leaves_the_whole_point_as_it_was() -> None:
    point = quadratic(streams(200, seed=1).normal((200, 2)))
    moved, _ = MALA(1.0).step(point, (), quadratic, streams(200))
    stayed = (moved.z == point.z).all(dim=1)
    assert 0 < stayed.sum() < 200
    for new, old, again in zip(moved, point, quadratic(moved.z), strict=True):
        assert torch.equal(new[stayed], old[stayed])
        torch.testing.assert_close(new, again)


@pytest.mark.parametrize("tau", [0.2, 5.0])
def test_the_exponential_integrator_is_exact_for_the_prior(tau: float) -> None:
    @differentiate
    def nothing(z: Tensor) -> tuple[Tensor, Tensor]:
        return 0 * z.sum(dim=1), z

    end = run(ExponentialIntegrator(tau), nothing, OneStream(), 3, OneStream(1).normal((3000, 2)))
    assert_law(end.z, torch.zeros(2), torch.eye(2, dtype=torch.float64))


@pytest.mark.parametrize(("kernel", "calls"), [*((k, 1) for k in [Adam(0.1), *SAMPLERS[:3]]), (SAMPLERS[3], 3)])
def test_a_step_costs_one_evaluation_or_one_per_leapfrog_step(kernel: Kernel, calls: int) -> None:
    seen = []

    def counted(z: Tensor) -> Point:
        seen.append(z)
        return quadratic(z)

    point = quadratic(torch.zeros(2, 2))
    kernel.step(point, kernel.init(point), counted, streams(2))
    assert len(seen) == calls


@pytest.mark.parametrize("kernel", [Adam(0.1), *SAMPLERS], ids=name)
def test_a_step_is_pure(kernel: Kernel) -> None:
    point = quadratic(torch.ones(3, 2))
    state = kernel.init(point)
    before = [part.clone() for part in (*point, *state)]
    first, after = kernel.step(point, state, quadratic, streams(3))
    again, _ = kernel.step(point, state, quadratic, streams(3))
    assert all(torch.equal(a, b) for a, b in zip(before, (*point, *state), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(part.requires_grad for part in (*first, *after))


@pytest.mark.parametrize("kernel", [Adam(0.1), *SAMPLERS], ids=name)
def test_rows_do_not_touch_each_other_even_where_one_is_lost(kernel: Kernel) -> None:
    start = streams(4, seed=1).normal((4, 3))
    alone = run(kernel, bumpy, NoiseSource(0, [7, 9]), 5, start[2:])
    broken = torch.cat([torch.tensor([[math.nan] * 3, [1e30] * 3]), start[2:]])
    together = run(kernel, bumpy, NoiseSource(0, [3, 4, 7, 9]), 5, broken)
    torch.testing.assert_close(together.z[2:], alone.z, rtol=1e-6, atol=1e-6)
    assert not together.image[0].isfinite().any()


@pytest.mark.parametrize("kernel", [MALA(0.5), HMC(0.5)], ids=name)
def test_a_proposal_that_is_not_finite_is_rejected(kernel: Kernel) -> None:
    """A wall of NaN: the chains stay on their side and sample what is left of the prior, a half Gaussian."""

    @differentiate
    def wall(z: Tensor) -> tuple[Tensor, Tensor]:
        return torch.where(z < 0, torch.nan, 0 * z).sum(dim=1), z

    z = run(kernel, wall, OneStream(), 25, OneStream(1).normal((2000, 1)).abs()).z
    assert (z >= 0).all()
    error = math.sqrt((1 - 2 / math.pi) / 2000)
    assert abs(z.mean() - math.sqrt(2 / math.pi)) < 5 * error


def test_a_target_gives_each_row_the_gradient_of_its_own_energy() -> None:
    z = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    point = quadratic(z)
    torch.testing.assert_close(point.gradient, (z - CENTRE) @ H)
    assert torch.equal(point.image, 3 * z)
    assert torch.equal(point.z, z)
    assert not any(part.requires_grad for part in point)


@pytest.mark.parametrize("kind", [Adam, EulerMaruyama, ExponentialIntegrator, MALA, HMC])
@pytest.mark.parametrize("value", [0.0, -0.1, math.inf, math.nan])
def test_a_step_size_that_is_not_positive_and_finite_is_refused(kind: Callable[[float], Kernel], value: float) -> None:
    with pytest.raises(ValueError, match=rf"{kind.__name__} needs a finite (step_size|learning_rate) > 0, but got"):
        kind(value)


def test_other_values_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="betas in"):
        Adam(0.1, betas=(0.9, 1.0))
    with pytest.raises(ValueError, match="finite epsilon > 0"):
        Adam(0.1, epsilon=0.0)
    with pytest.raises(ValueError, match="leapfrog_steps >= 1, a whole number, but got leapfrog_steps=0"):
        HMC(0.1, leapfrog_steps=0)
    with pytest.raises(ValueError, match="finite prior_pull"):
        EulerMaruyama(0.1, prior_pull=math.nan)


def test_an_energy_without_a_gradient_is_named() -> None:
    with pytest.raises(ValueError, match=r"has no gradient .* must not use torch.no_grad\(\) or detach\(\)"):
        differentiate(lambda z: (z.detach().sum(dim=1), z))(torch.zeros(1, 2))
