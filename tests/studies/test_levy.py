"""The Gibbs sampler of walks with heavy tails: against quadrature, importance weights, and its own noise."""

import math

import pytest
import torch
from torch import Tensor

from dis_lightning.priors import GaussianPrior
from studies.levy import GibbsDenoiser, Increments, Laplace, Student, gibbs, log_density, walks

LAWS: list[Increments] = [Laplace(), Student(1), Student(3)]
every_law = pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cumulative(law: Increments, edges: Tensor) -> Tensor:
    """Shares of a law below edges, by quadrature of its density in `atan` so that the tails are there."""
    angle = torch.linspace(-math.pi / 2, math.pi / 2, 200_001, dtype=torch.float64)[1:-1]
    grid = angle.tan()
    mass = law.log_density(grid).exp() / angle.cos().square()
    return torch.stack([mass[grid < edge].sum() for edge in edges]) / mass.sum()


@every_law
def test_increments_are_drawn_from_the_density(law: Increments) -> None:
    u, edges = law.draw((40_000,), generator()), torch.tensor([-3.0, -1.0, -0.2, 0.0, 0.5, 2.0]).double()
    shares = torch.stack([(u < edge).double().mean() for edge in edges])
    expected = cumulative(law, edges)
    assert ((shares - expected).abs() < 5 * (expected * (1 - expected) / 40_000).sqrt()).all()


@every_law
def test_variances_keep_the_law_of_the_increments(law: Increments) -> None:
    """One turn of the Gibbs sampler without data, `u -> s -> u`, leaves the law of u as it is."""
    u, random = law.draw((40_000,), generator()), generator(1)
    after = law.variances(u, random).sqrt() * torch.randn(u.shape, generator=random, dtype=u.dtype)
    edges = torch.tensor([-2.0, -0.5, 0.1, 1.0]).double()
    shares = torch.stack([(after < edge).double().mean() for edge in edges])
    expected = cumulative(law, edges)
    assert ((shares - expected).abs() < 5 * (expected * (1 - expected) / 40_000).sqrt()).all()


@every_law
def test_the_denoiser_of_one_increment_is_an_integral(law: Increments) -> None:
    x_t, sigma = torch.tensor([[-4.0], [-0.7], [0.1], [2.5]]).double(), 0.8
    grid = torch.linspace(-60, 60, 400_001, dtype=torch.float64)
    weights = (law.log_density(grid) - (grid - x_t) ** 2 / (2 * sigma**2)).softmax(1)
    expected = (weights * grid).sum(1, keepdim=True)
    spread = ((weights * grid**2).sum(1, keepdim=True) - expected**2).sqrt()
    found = GibbsDenoiser(law, 1, sweeps=3000)(x_t, sigma)
    assert ((found - expected).abs() < 0.08 * spread).all()


def test_a_walk_has_the_mean_that_importance_weights_give() -> None:
    law, sigma = Laplace(), 1.5
    x_t = torch.tensor([[0.5, 2.0, 1.0]]).double()
    draws = walks(law, 400_000, 3)
    weights = (-(draws - x_t).square().sum(1) / (2 * sigma**2)).softmax(0)
    expected = weights @ draws
    covariance = torch.einsum("n, nd, ne -> de", weights, draws - expected, draws - expected)
    mean, found = GibbsDenoiser(law, 3).moments(x_t.expand(40, -1), torch.full((40,), sigma), jacobian=True)
    # Rows draw numbers of their own: forty chains at once.
    assert found is not None
    assert ((mean.mean(0) - expected).abs() < 5 * mean.std(0) / math.sqrt(40) + 0.01).all()
    torch.testing.assert_close(found.mean(0), covariance, rtol=0.08, atol=0.03)


def test_gradients_are_products_with_the_covariance() -> None:
    denoiser, x_t = GibbsDenoiser(Student(3), 4, sweeps=50), torch.tensor([[0.0, 1.0, 3.0, 3.5]]).double()
    _, covariance = denoiser.moments(x_t, torch.tensor([0.7]), jacobian=True)
    assert covariance is not None
    slope = torch.tensor([[1.0, -2.0, 0.5, 0.0]]).double()
    x_t.requires_grad_()
    (found,) = torch.autograd.grad(denoiser(x_t, 0.7), x_t, slope)
    torch.testing.assert_close(found, slope @ covariance[0] / 0.7**2)


def test_gibbs_given_the_variances_is_the_posterior_of_a_gaussian() -> None:
    """Before the first turn all variances are 1: the walk is Gaussian, with covariance min(i, j)."""
    size, noise_std = 5, 0.6
    steps = torch.arange(1.0, size + 1).double()
    covariance = torch.minimum(steps[:, None], steps)
    matrix = torch.randn(3, size, generator=generator()).double()
    y = torch.tensor([[1.0, -0.5, 2.0]]).double()
    _, mean, inverse = next(gibbs(Laplace(), matrix, y, torch.tensor([noise_std]), generator()))
    within = torch.linalg.inv(torch.linalg.inv(covariance) + matrix.T @ matrix / noise_std**2)
    torch.testing.assert_close(inverse.mT @ inverse, within.unsqueeze(0), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(mean[0], within @ matrix.T @ y[0] / noise_std**2, rtol=1e-5, atol=1e-7)
    x_t = torch.tensor([[1.0, 2.0, 0.0, -1.0, 3.0]]).double()
    _, mean, _ = next(gibbs(Laplace(), torch.eye(size), x_t, torch.tensor([noise_std]), generator()))
    expected = GaussianPrior(torch.zeros(size).double(), covariance)(x_t, noise_std)
    torch.testing.assert_close(mean, expected, rtol=1e-5, atol=1e-6)


def test_the_density_of_a_walk_is_that_of_its_increments() -> None:
    x = torch.tensor([[1.0, 3.0, 2.5]]).double()
    assert float(log_density(Laplace(), x)) == pytest.approx(-(1 + 2 + 0.5))
    expected = -2 * sum(math.log1p(u**2 / 3) for u in (1.0, 2.0, 0.5))
    assert float(log_density(Student(3), x)) == pytest.approx(expected)


def test_the_same_walk_has_the_same_mean() -> None:
    denoiser, x_t = GibbsDenoiser(Laplace(), 6, sweeps=5, burn_in=1), walks(Laplace(), 3, 6)
    assert torch.equal(denoiser(x_t, 0.5), denoiser(x_t, 0.5))


def test_a_walk_that_is_not_finite_has_no_mean_and_leaves_others_alone() -> None:
    denoiser, x_t = GibbsDenoiser(Student(1), 4, sweeps=5), walks(Student(1), 2, 4)
    lost = torch.cat([x_t[:1], torch.full((1, 4), math.inf), x_t[1:]])
    found = denoiser(lost, 0.5)
    assert found[1].isnan().all()
    assert found[[0, 2]].isfinite().all()
