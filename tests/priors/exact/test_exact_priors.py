"""What every prior in closed form must satisfy, against independent densities and against itself in float64."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, MultivariateNormal, Normal

from dis_lightning.noise import NoiseSource
from dis_lightning.operators.matrix import MatrixOperator
from dis_lightning.priors.exact.atoms import FiniteAtomPrior
from dis_lightning.priors.exact.base import ExactPrior, choose, responsibilities
from dis_lightning.priors.exact.gaussian import GaussianPrior
from dis_lightning.priors.exact.mixture import GaussianMixturePrior

SIGMAS = [0.002, 0.01, 1.0, 80.0, 1000.0]
SHAPE = (2, 2, 2)
D = 8
Family = Callable[[torch.dtype], ExactPrior]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def covariances(count: int, size: int, rank: int) -> Tensor:
    factors = normal(count, size, rank, seed=1) / math.sqrt(rank)
    return factors @ factors.mT


MEANS = normal(3, *SHAPE)
WEIGHTS = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
FULL = covariances(3, D, D)

FAMILIES: dict[str, Family] = {
    "gaussian": lambda dtype: GaussianPrior(MEANS[0].to(dtype), FULL[0]),
    "singular gaussian": lambda dtype: GaussianPrior(MEANS[0].to(dtype), covariances(1, D, 3)[0]),
    "shared mixture": lambda dtype: GaussianMixturePrior(WEIGHTS, MEANS.to(dtype), FULL[0]),
    "full mixture": lambda dtype: GaussianMixturePrior(WEIGHTS, MEANS.to(dtype), FULL),
    "singular mixture": lambda dtype: GaussianMixturePrior(WEIGHTS, MEANS.to(dtype), covariances(3, D, 3)),
    "atoms": lambda dtype: FiniteAtomPrior(MEANS.to(dtype), WEIGHTS),
}

every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def noisy_images(family: Family, sigma: float, count: int = 64) -> Tensor:
    x_0 = family(torch.float64).sample(NoiseSource(0, range(count)))
    return x_0 + sigma * normal(*x_0.shape, seed=2)


def noisy_law(prior: ExactPrior, sigma: float) -> Distribution:
    """The law of `x_t`, flattened, by torch.distributions."""
    if isinstance(prior, GaussianPrior):
        return MultivariateNormal(prior.mean.flatten(), prior.covariance + sigma**2 * torch.eye(D))
    if isinstance(prior, GaussianMixturePrior):
        blurred = prior.covariances + sigma**2 * torch.eye(D, dtype=torch.float64)
        parts: Distribution = MultivariateNormal(prior.means.flatten(1), blurred.expand(3, D, D))
        return MixtureSameFamily(Categorical(prior.weights), parts)
    assert isinstance(prior, FiniteAtomPrior)
    return MixtureSameFamily(Categorical(prior.weights), Independent(Normal(prior.atoms.flatten(1), sigma), 1))


@every_family
@pytest.mark.parametrize("sigma", [0.1, 1.0, 20.0])
def test_denoiser_obeys_tweedies_formula(family: Family, sigma: float) -> None:
    prior = family(torch.float64)
    x_t = noisy_images(family, sigma).requires_grad_()
    log_density = noisy_law(prior, sigma).log_prob(x_t.flatten(1)).sum()
    (score,) = torch.autograd.grad(log_density, x_t)
    torch.testing.assert_close(prior(x_t, sigma), x_t + sigma**2 * score, rtol=1e-8, atol=1e-8)


@every_family
@pytest.mark.parametrize("sigma", SIGMAS)
def test_float32_agrees_with_float64(family: Family, sigma: float) -> None:
    x_t = noisy_images(family, sigma).float()
    single, double = family(torch.float32)(x_t, sigma), family(torch.float64)(x_t.double(), sigma)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, rtol=0, atol=5e-6)


def distant_means() -> Tensor:
    """The 25 means (8i, 8j, 8i, 8j, ...) in 80 dimensions, of norm up to 143."""
    corners = [[8.0 * i, 8.0 * j] for i in range(-2, 3) for j in range(-2, 3)]
    return torch.tensor(corners, dtype=torch.float64).repeat(1, 40)


DISTANT: dict[str, Family] = {
    "unit covariance": lambda dtype: GaussianMixturePrior(
        torch.ones(25), distant_means().to(dtype), torch.eye(80, dtype=torch.float64)
    ),
    "own covariances": lambda dtype: GaussianMixturePrior(
        torch.ones(25), distant_means().to(dtype), covariances(25, 80, 80)
    ),
    "atoms": lambda dtype: FiniteAtomPrior(distant_means().to(dtype)),
}


@pytest.mark.parametrize("family", DISTANT.values(), ids=DISTANT)
@pytest.mark.parametrize("sigma", SIGMAS)
def test_float32_agrees_with_float64_for_distant_components(family: Family, sigma: float) -> None:
    x_t = noisy_images(family, sigma).float()
    single, double = family(torch.float32)(x_t, sigma), family(torch.float64)(x_t.double(), sigma)
    # Entries go up to 20: this is 32 roundings of the largest.
    torch.testing.assert_close(single.double(), double, rtol=0, atol=32 * 20 * torch.finfo(torch.float32).eps)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_float32_weights_of_large_images_keep_their_digits(sigma: float) -> None:
    # Squared residuals are near 3072 here and differ by little; plainly rounded, weights would be wrong by 1e-4.
    atoms = normal(16, 3, 32, 32)
    x_t = (atoms.repeat(4, 1, 1, 1) + sigma * normal(64, 3, 32, 32, seed=2)).float()
    single = FiniteAtomPrior(atoms.float())(x_t, sigma)
    double = FiniteAtomPrior(atoms.float().double())(x_t.double(), sigma)
    torch.testing.assert_close(single.double(), double, rtol=0, atol=2e-5)


def test_float32_weights_of_close_images_do_not_feel_a_distant_one() -> None:
    # Compared with the first image, both others are exp(-1e8) and more likely: their own ratio must not drown in that.
    atoms = torch.stack([torch.full((D,), -100.0), torch.full((D,), 0.5), torch.full((D,), 0.5078125)])
    x_t = atoms[1:].mean(0) + 0.02 * normal(16, D).float()
    single, double = FiniteAtomPrior(atoms)(x_t, 0.02), FiniteAtomPrior(atoms.double())(x_t.double(), 0.02)
    assert single.std() > 1e-3
    torch.testing.assert_close(single.double(), double, rtol=0, atol=2e-7)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_float32_weights_feel_the_volumes_of_covariances(sigma: float) -> None:
    # Same mean, slightly different spread in 400 dimensions: the weights come from the volumes and the radius.
    size = 400
    spreads = torch.tensor([1.0, 1.05], dtype=torch.float64)[:, None, None] * torch.eye(size, dtype=torch.float64)
    means = torch.stack([torch.zeros(size), torch.ones(size)]).double()
    x_t = (normal(32, size) * math.hypot(1.02, sigma)).float() + 0.5
    single = GaussianMixturePrior(torch.ones(2), means.float(), spreads)(x_t, sigma)
    double = GaussianMixturePrior(torch.ones(2), means, spreads)(x_t.double(), sigma)
    torch.testing.assert_close(single.double(), double, rtol=0, atol=5e-5)


@every_family
@pytest.mark.parametrize("sigma", [1e-3, 0.002, 1.0, 1000.0])
def test_gradients_are_finite_near_and_far(family: Family, sigma: float) -> None:
    near = noisy_images(family, sigma, 8).float()
    x_t = torch.cat([near, 1e3 * near, MEANS.float()]).requires_grad_()
    x_0 = family(torch.float32)(x_t, sigma)
    (gradient,) = torch.autograd.grad(x_0.square().sum(), x_t)
    assert x_0.isfinite().all()
    assert gradient.isfinite().all()


@every_family
def test_gradients_agree_with_finite_differences(family: Family) -> None:
    prior = family(torch.float64)
    x_t, sigma = noisy_images(family, 1.0, 2).requires_grad_(), torch.tensor([0.7, 1.3]).double().requires_grad_()
    assert torch.autograd.gradcheck(prior, (x_t, sigma))
    assert torch.autograd.gradgradcheck(prior, (x_t, sigma))


@every_family
def test_levels_may_differ_from_image_to_image(family: Family) -> None:
    prior, x_t = family(torch.float64), noisy_images(family, 1.0, 5)
    together = prior(x_t, torch.tensor(SIGMAS))
    alone = torch.cat([prior(x_t[i : i + 1], float(torch.tensor(sigma))) for i, sigma in enumerate(SIGMAS)])
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9)


@every_family
@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_broken_image_leaves_the_others_bit_equal(family: Family, broken: float) -> None:
    prior, x_t = family(torch.float32), noisy_images(family, 1.0, 4).float()
    whole = prior(x_t, 1.0)
    x_t[1] = broken
    rows = [0, 2, 3]
    assert torch.equal(prior(x_t, 1.0)[rows], whole[rows])
    assert prior(x_t, 1.0)[1].isnan().all()


@every_family
def test_samples_do_not_depend_on_the_batch(family: Family) -> None:
    prior = family(torch.float64)
    together = prior.sample(NoiseSource(3, range(6)))
    alone = torch.cat([prior.sample(NoiseSource(3, [index])) for index in range(6)])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)
    assert together.shape == (6, *SHAPE)


@every_family
def test_samples_have_the_exact_mean_and_covariance(family: Family) -> None:
    prior, count = family(torch.float64), 4000
    x = prior.sample(NoiseSource(0, range(count))).flatten(1)
    mean, covariance = moments(prior)
    centred = x - mean
    products = centred.unsqueeze(2) * centred.unsqueeze(1)
    assert_within_errors(x, mean, count)
    assert_within_errors(products, covariance, count)


def moments(prior: ExactPrior) -> tuple[Tensor, Tensor]:
    if isinstance(prior, GaussianPrior):
        return prior.mean.flatten(), prior.covariance
    assert isinstance(prior, GaussianMixturePrior | FiniteAtomPrior)
    mixture = isinstance(prior, GaussianMixturePrior)
    m = (prior.means if mixture else prior.atoms).flatten(1)
    inner = prior.covariances.expand(3, D, D) if mixture else torch.zeros(3, D, D)
    mean, second = WEIGHTS @ m, (WEIGHTS[:, None, None] * (inner + m.unsqueeze(2) * m.unsqueeze(1))).sum(0)
    return mean, second - torch.outer(mean, mean)


def assert_within_errors(draws: Tensor, truth: Tensor, count: int) -> None:
    errors = draws.std(0) / math.sqrt(count)
    assert ((draws.mean(0) - truth).abs() <= 5 * errors).all()


@every_family
def test_samples_come_from_their_stream_in_every_type(family: Family) -> None:
    single = family(torch.float32).sample(NoiseSource(0, range(8)))
    double = family(torch.float64).sample(NoiseSource(0, range(8)))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-5)


@every_family
def test_conditioning_twice_is_conditioning_on_both(family: Family) -> None:
    prior = family(torch.float64)
    matrix, y = normal(4, D, seed=4), normal(1, 4, seed=5)
    both = prior.posterior(MatrixOperator(matrix, 0.5), y)
    twice = prior.posterior(MatrixOperator(matrix[:2], 0.5), y[:, :2])
    twice = twice.posterior(MatrixOperator(matrix[2:], 0.5), y[:, 2:])
    x_t = noisy_images(family, 1.0)
    torch.testing.assert_close(both(x_t, 1.0), twice(x_t, 1.0), rtol=1e-8, atol=1e-8)


@every_family
def test_denoiser_is_the_mean_given_the_noisy_image_as_a_measurement(family: Family) -> None:
    # x_t = x_0 + sigma n is itself a measurement; so with y, E[x_0 | x_t, y] comes from conditioning on both.
    prior, matrix, y, sigma = family(torch.float64), normal(2, D, seed=4), normal(1, 2, seed=5), 0.8
    x_t = noisy_images(family, sigma, 1)
    exact = prior.posterior(MatrixOperator(matrix, 0.5), y)
    stacked = MatrixOperator(torch.cat([matrix / 0.5, torch.eye(D, dtype=torch.float64) / sigma]), 1.0)
    given_both = prior.posterior(stacked, torch.cat([y / 0.5, x_t.flatten(1) / sigma], 1))
    mean = given_both(torch.zeros(1, *SHAPE).double(), 1e6)  # at infinite noise, the denoiser gives the mean
    torch.testing.assert_close(exact(x_t, sigma), mean, rtol=1e-8, atol=1e-8)


@every_family
def test_a_posterior_keeps_type_and_shape(family: Family) -> None:
    prior = family(torch.float32)
    posterior = prior.posterior(MatrixOperator(normal(2, D), 0.5), torch.zeros(1, 2))
    assert type(posterior) is type(prior)
    assert posterior.shape == SHAPE
    assert {value.dtype for value in posterior.state_dict().values()} == {torch.float32}
    assert not any(value.requires_grad for value in posterior.state_dict().values())


@every_family
def test_a_posterior_of_one_measurement_only(family: Family) -> None:
    with pytest.raises(ValueError, match=r"belongs to one measurement, .* but got 3"):
        family(torch.float64).posterior(MatrixOperator(normal(2, D), 0.5), torch.zeros(3, 2))


@every_family
def test_a_posterior_needs_noise(family: Family) -> None:
    with pytest.raises(ValueError, match="noise_std"):
        family(torch.float64).posterior(MatrixOperator(normal(2, D)), torch.zeros(1, 2))


@every_family
def test_images_of_another_shape_are_refused(family: Family) -> None:
    with pytest.raises(ValueError, match=r"needs images \(N, 2, 2, 2\), but got \(5, 8\)"):
        family(torch.float64)(torch.zeros(5, 8), 1.0)


def test_responsibilities_are_a_softmax_of_half_squares() -> None:
    residuals, log_weights = normal(5, 4, 7), normal(5, 4, seed=1)
    plain = (log_weights - residuals.square().sum(-1) / 2).softmax(1)
    torch.testing.assert_close(responsibilities(residuals, log_weights), plain)


def test_components_are_chosen_with_their_weights() -> None:
    # Quantiles of the normal law in place of draws: the shares are exact.
    uniform = (torch.arange(1000).double() + 0.5) / 1000
    weights = torch.tensor([0.0, 0.25, 0.0, 0.65, 0.1, 0.0]).double()
    shares = choose(weights.log(), torch.special.ndtri(uniform)).bincount(minlength=6) / 1000
    torch.testing.assert_close(shares.double(), weights, rtol=0, atol=1e-3)


def test_components_of_weight_zero_are_never_chosen() -> None:
    weights = torch.tensor([0.3, 0.7, 0.0])
    assert choose(weights.log(), torch.tensor([-9.0, 9.0])).tolist() == [0, 1]
