"""The Gaussian mixture prior against the Gaussian, integrals on a line and a grid, and its limit of single images."""

import math

import pytest
import torch
from scipy import integrate
from torch import Tensor
from torch.distributions import MultivariateNormal

from dis_lightning.operators.matrix import MatrixOperator
from dis_lightning.priors.exact.atoms import FiniteAtomPrior
from dis_lightning.priors.exact.gaussian import GaussianPrior
from dis_lightning.priors.exact.mixture import GaussianMixturePrior

D = 6


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def covariances(count: int, size: int = D) -> Tensor:
    factors = normal(count, size, size, seed=1)
    return factors @ factors.mT


@pytest.mark.parametrize("sigma", [0.05, 1.0, 20.0])
def test_denoiser_is_the_integral_of_bayes_rule(sigma: float) -> None:
    weights, means, variances, x_t = (0.3, 0.7), (-1.0, 1.5), (0.3, 0.05), 0.4

    def weight(x: float) -> float:
        components = zip(weights, means, variances, strict=True)
        prior = sum(w * math.exp(-((x - m) ** 2) / (2 * v)) / math.sqrt(v) for w, m, v in components)
        return prior * math.exp(-((x_t - x) ** 2) / (2 * sigma**2))

    ends = {"a": -6.0, "b": 6.0, "points": [-1.0, x_t, 1.5], "epsabs": 0.0}
    truth = integrate.quad(lambda x: x * weight(x), **ends)[0] / integrate.quad(weight, **ends)[0]
    columns = torch.tensor([means, variances], dtype=torch.float64)
    prior = GaussianMixturePrior(torch.tensor(weights), columns[0, :, None], columns[1, :, None, None])
    assert prior(torch.tensor([[x_t]], dtype=torch.float64), sigma).item() == pytest.approx(truth, rel=1e-7)


@pytest.mark.parametrize("sigma", [0.01, 1.0, 80.0])
def test_one_component_is_the_gaussian(sigma: float) -> None:
    mean, covariance, x_t = normal(D), covariances(1)[0], normal(5, D, seed=2)
    mixture = GaussianMixturePrior(torch.ones(1), mean.unsqueeze(0), covariance)
    torch.testing.assert_close(mixture(x_t, sigma), GaussianPrior(mean, covariance)(x_t, sigma))


@pytest.mark.parametrize("sigma", [0.01, 1.0, 80.0])
def test_a_shared_covariance_is_the_same_one_for_all(sigma: float) -> None:
    means, covariance, x_t = normal(4, D), covariances(1)[0], sigma * normal(20, D, seed=2)
    shared = GaussianMixturePrior(torch.ones(4), means, covariance)
    repeated = GaussianMixturePrior(torch.ones(4), means, covariance.expand(4, D, D))
    torch.testing.assert_close(shared(x_t, sigma), repeated(x_t, sigma))


@pytest.mark.parametrize("sigma", [0.1, 1.0, 80.0])
def test_components_without_spread_are_atoms(sigma: float) -> None:
    weights, atoms = torch.tensor([0.1, 0.2, 0.3, 0.4]), normal(4, D)
    x_t = atoms + sigma * normal(4, D, seed=2)
    mixture = GaussianMixturePrior(weights, atoms, torch.zeros(D, D))
    torch.testing.assert_close(mixture(x_t, sigma), FiniteAtomPrior(atoms, weights)(x_t, sigma))


def test_narrow_components_approach_atoms_with_their_variance() -> None:
    atoms = normal(4, D)
    x_t = atoms + normal(4, D, seed=2)
    limit = FiniteAtomPrior(atoms)(x_t, 1.0)

    def gap(variance: float) -> float:
        prior = GaussianMixturePrior(torch.ones(4), atoms, variance * torch.eye(D))
        return float((prior(x_t, 1.0) - limit).abs().max())

    assert gap(1e-4) / gap(1e-6) == pytest.approx(100, rel=0.01)


def test_posterior_agrees_with_a_grid_in_two_dimensions() -> None:
    weights, means = torch.tensor([0.2, 0.5, 0.3]).double(), torch.tensor([[-2.0, 0], [1, 2], [2, -1]]).double()
    spreads, matrix = (covariances(3, 2) + torch.eye(2)) / 4, normal(1, 2, seed=3)
    y, noise_std = 0.4, 0.7
    prior = GaussianMixturePrior(weights, means, spreads)
    posterior = prior.posterior(MatrixOperator(matrix, noise_std), torch.tensor([[y]], dtype=torch.float64))
    line = torch.linspace(-12, 12, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    truth = density(weights, means, spreads, grid) * torch.exp(-((grid @ matrix[0] - y) ** 2) / (2 * noise_std**2))
    truth /= truth.sum() * (line[1] - line[0]) ** 2
    found = density(posterior.weights, posterior.means, posterior.covariances, grid)
    torch.testing.assert_close(found, truth, rtol=1e-9, atol=1e-12)


def density(weights: Tensor, means: Tensor, spreads: Tensor, x: Tensor) -> Tensor:
    laws = MultivariateNormal(means, spreads.expand(len(means), 2, 2))
    return torch.exp(laws.log_prob(x.unsqueeze(1)) + weights.log()).sum(1)


def test_posterior_of_a_shared_covariance_is_shared() -> None:
    means, covariance, operator = normal(4, D), covariances(1)[0], MatrixOperator(normal(2, D, seed=3), 0.5)
    shared = GaussianMixturePrior(torch.ones(4), means, covariance).posterior(operator, normal(1, 2, seed=4))
    own = GaussianMixturePrior(torch.ones(4), means, covariance.expand(4, D, D))
    own = own.posterior(operator, normal(1, 2, seed=4))
    assert shared.covariances.shape == (1, D, D)
    torch.testing.assert_close(shared.covariances.expand(4, D, D), own.covariances)
    torch.testing.assert_close(shared.means, own.means)
    torch.testing.assert_close(shared.weights, own.weights)


def test_improbable_components_keep_their_weight() -> None:
    # The measurement leaves the second component exp(-10000), which no float holds; a noisy image can bring it back.
    means = torch.tensor([[0.0, 0.0], [20.0, 300.0]]).double()
    prior = GaussianMixturePrior(torch.ones(2), means, torch.eye(2).double() / 100)
    posterior = prior.posterior(MatrixOperator([[1.0, 0.0]], 0.1), torch.zeros(1, 1))
    assert posterior.weights[1] == 0
    assert posterior.log_weights[1] == pytest.approx(-(20**2) / (2 * (0.01 + 0.1**2)), rel=1e-12)
    assert posterior(means[1:], 1.0)[0, 1] == pytest.approx(300, rel=1e-9)


def test_components_of_weight_zero_do_not_matter() -> None:
    means, x_t = normal(3, D), normal(5, D, seed=2).requires_grad_()
    two = GaussianMixturePrior(torch.tensor([1.0, 3.0]), means[:2], covariances(3)[:2])
    three = GaussianMixturePrior(torch.tensor([1.0, 3.0, 0.0]), means, covariances(3))
    torch.testing.assert_close(three(x_t, 1.0), two(x_t, 1.0))
    (gradient,) = torch.autograd.grad(three(x_t, 1.0).sum(), x_t)
    assert gradient.isfinite().all()


def test_weights_are_divided_by_their_sum() -> None:
    prior = GaussianMixturePrior(torch.tensor([1.0, 3.0]), normal(2, D), torch.eye(D))
    torch.testing.assert_close(prior.weights, torch.tensor([0.25, 0.75]).double())


def test_wrong_mixtures_are_refused() -> None:
    means, eye = torch.zeros(3, D), torch.eye(D)
    with pytest.raises(ValueError, match=r"\(3, 6\) need covariances \(6, 6\) or \(3, 6, 6\), but got \(2, 6, 6\)"):
        GaussianMixturePrior(torch.ones(3), means, eye.expand(2, D, D))
    with pytest.raises(ValueError, match="3 components need as many weights"):
        GaussianMixturePrior(torch.ones(2), means, eye)
    with pytest.raises(ValueError, match="weights >= 0, not all 0, but got"):
        GaussianMixturePrior(torch.tensor([1.0, 1.0, -1.0]), means, eye)
    with pytest.raises(ValueError, match="weights >= 0, not all 0, but got"):
        GaussianMixturePrior(torch.zeros(3), means, eye)
    with pytest.raises(ValueError, match="weights must be finite floats"):
        GaussianMixturePrior(torch.full((3,), math.inf), means, eye)
    with pytest.raises(ValueError, match="means must be finite floats"):
        GaussianMixturePrior(torch.ones(3), means * math.nan, eye)
    with pytest.raises(ValueError, match=r"means must be images .* but got \[3\]"):
        GaussianMixturePrior(torch.ones(3), torch.zeros(3), torch.eye(1))
    with pytest.raises(ValueError, match="symmetric"):
        GaussianMixturePrior(torch.ones(3), means, eye + torch.ones(D, D).triu(1))
