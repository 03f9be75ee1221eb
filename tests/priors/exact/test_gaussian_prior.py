"""The Gaussian prior against integrals, the joint law of image and measurement, and its own consistency map."""

import math

import pytest
import torch
from scipy import integrate
from torch import Tensor

from dis_lightning.noise import NoiseSource
from dis_lightning.operators.average_pool import AveragePool
from dis_lightning.operators.base import GaussianOperator
from dis_lightning.operators.inpainting import RandomInpainting
from dis_lightning.operators.matrix import MatrixOperator
from dis_lightning.priors.exact.covariances import Covariances
from dis_lightning.priors.exact.gaussian import GaussianConsistencyMap, GaussianPrior

D = 8


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def covariance(rank: int = D) -> Tensor:
    factor = normal(D, rank, seed=1)
    return factor @ factor.T


PRIOR = GaussianPrior(normal(D), covariance())


@pytest.mark.parametrize("sigma", [0.05, 1.0, 20.0])
def test_denoiser_is_the_integral_of_bayes_rule(sigma: float) -> None:
    mean, variance, x_t = 0.7, 0.3, 1.9

    def weight(x: float) -> float:
        return math.exp(-((x - mean) ** 2) / (2 * variance) - (x_t - x) ** 2 / (2 * sigma**2))

    ends = {"a": mean - 8, "b": mean + 8, "points": [mean, x_t], "epsabs": 0.0}
    truth = integrate.quad(lambda x: x * weight(x), **ends)[0] / integrate.quad(weight, **ends)[0]
    prior = GaussianPrior(torch.tensor([mean], dtype=torch.float64), torch.tensor([[variance]], dtype=torch.float64))
    assert prior(torch.tensor([[x_t]], dtype=torch.float64), sigma).item() == pytest.approx(truth, rel=1e-9)


def test_denoiser_is_the_wiener_filter() -> None:
    x_t, sigma = normal(5, D, seed=2), 0.6
    wiener = torch.linalg.solve(covariance() + sigma**2 * torch.eye(D), (x_t - PRIOR.mean).T)
    torch.testing.assert_close(PRIOR(x_t, sigma), PRIOR.mean + (covariance() @ wiener).T)


def test_a_certain_image_is_known_at_every_level() -> None:
    prior = GaussianPrior(normal(D), torch.zeros(D, D))
    torch.testing.assert_close(prior(normal(3, D, seed=2), 0.002), prior.mean.expand(3, D), rtol=0, atol=0)


def test_images_are_flattened_in_their_own_order() -> None:
    flat, image = PRIOR, GaussianPrior(PRIOR.mean.reshape(2, 1, 4), covariance())
    x_t = normal(3, 2, 1, 4, seed=2)
    torch.testing.assert_close(image(x_t, 0.5), flat(x_t.flatten(1), 0.5).reshape(3, 2, 1, 4))


def test_covariance_is_what_was_given() -> None:
    torch.testing.assert_close(PRIOR.covariance, covariance())


def test_rounding_below_zero_is_taken_as_zero() -> None:
    rounded = covariance(rank=3) - 1e-7 * torch.eye(D)
    assert Covariances(rounded.unsqueeze(0), rounded).variances.min() == 0


def test_posterior_is_a_block_of_the_joint_precision() -> None:
    matrix, noise_std, y = normal(3, D, seed=3), 0.4, normal(1, 3, seed=4)
    c, m = covariance(), PRIOR.mean
    measured = matrix @ c @ matrix.T + noise_std**2 * torch.eye(3)
    joint = torch.cat([torch.cat([c, c @ matrix.T], 1), torch.cat([matrix @ c, measured], 1)])
    precision = joint.inverse()
    posterior_covariance = precision[:D, :D].inverse()
    posterior_mean = m - posterior_covariance @ precision[:D, D:] @ (y[0] - matrix @ m)
    posterior = PRIOR.posterior(MatrixOperator(matrix, noise_std), y)
    torch.testing.assert_close(posterior.mean, posterior_mean)
    torch.testing.assert_close(posterior.covariance, posterior_covariance, atol=1e-9, rtol=1e-7)


def test_posterior_of_a_singular_prior_stays_in_its_subspace() -> None:
    # x = m + L a with three standard normal a: condition a, which has a proper density.
    factor, matrix, noise_std, y = normal(D, 3, seed=1), normal(2, D, seed=3), 0.4, normal(1, 2, seed=4)
    m, seen = normal(D), matrix @ factor
    inner = (torch.eye(3) + seen.T @ seen / noise_std**2).inverse()
    a = inner @ seen.T @ (y[0] - matrix @ m) / noise_std**2
    posterior = GaussianPrior(m, factor @ factor.T).posterior(MatrixOperator(matrix, noise_std), y)
    torch.testing.assert_close(posterior.mean, m + factor @ a)
    torch.testing.assert_close(posterior.covariance, factor @ inner @ factor.T, atol=1e-9, rtol=1e-7)


def test_posterior_keeps_its_digits_under_tiny_noise() -> None:
    # Every pixel measured with noise 1e-6: the posterior variances are 1e-12, far below the rounding of 64 - 64.
    prior = GaussianPrior(torch.zeros(D).double(), 64 * torch.eye(D))
    posterior = prior.posterior(MatrixOperator(torch.eye(D).double(), 1e-6), normal(1, D))
    torch.testing.assert_close(
        posterior.covariance.diagonal(), torch.full((D,), 1e-12, dtype=torch.float64), atol=0, rtol=1e-9
    )
    torch.testing.assert_close(posterior.mean, normal(1, D)[0])


def test_posterior_takes_image_operators() -> None:
    shape = (3, 4, 4)
    prior = GaussianPrior(torch.zeros(shape), torch.eye(48))
    posterior = prior.posterior(AveragePool(2, noise_std=0.5), torch.ones(1, 3, 2, 2))
    # Four pixels of variance 1 average to variance 1/4, noise 1/4: the mean is half of what was measured.
    torch.testing.assert_close(posterior.mean, torch.full(shape, 0.5))
    torch.testing.assert_close(posterior.covariance.diagonal(), torch.full((48,), 0.875).double())


@pytest.mark.parametrize("sigma", [0.01, 1.0, 80.0, 1000.0])
def test_consistency_map_carries_the_noisy_law_to_the_last_level(sigma: float) -> None:
    sigma_min = 0.3
    consistency = PRIOR.consistency_map(sigma_min)
    origin = consistency(torch.zeros(1, D).double(), sigma)
    jacobian = (consistency(torch.eye(D).double(), sigma) - origin).T
    eye = torch.eye(D).double()
    carried = jacobian @ (covariance() + sigma**2 * eye) @ jacobian.T
    torch.testing.assert_close(carried, covariance() + sigma_min**2 * eye, rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(consistency(PRIOR.mean.unsqueeze(0), sigma)[0], PRIOR.mean)


def test_consistency_map_is_the_identity_at_the_last_level() -> None:
    x_t = normal(5, D, seed=2)
    torch.testing.assert_close(PRIOR.consistency_map(0.002)(x_t, 0.002), x_t, rtol=1e-12, atol=1e-12)


def test_consistency_map_agrees_along_a_trajectory() -> None:
    x_t = 80 * normal(5, D, seed=2)
    on_the_way = PRIOR.consistency_map(sigma_min=3.0)(x_t, 80.0)
    consistency = PRIOR.consistency_map()
    torch.testing.assert_close(consistency(x_t, 80.0), consistency(on_the_way, 3.0), rtol=1e-10, atol=1e-10)


def test_consistency_map_solves_the_probability_flow() -> None:
    # The derivative of the trajectory sigma -> map to sigma is (x - D(x)) / sigma.
    x_t, sigma, h = 80 * normal(5, D, seed=2), 2.0, 1e-5
    ahead, behind = (PRIOR.consistency_map(sigma + step)(x_t, 80.0) for step in (h, -h))
    x = PRIOR.consistency_map(sigma)(x_t, 80.0)
    torch.testing.assert_close((ahead - behind) / (2 * h), (x - PRIOR(x, sigma)) / sigma, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.002, 0.01, 1.0, 80.0, 1000.0])
def test_consistency_map_in_float32_agrees_with_float64(sigma: float) -> None:
    x_t = (PRIOR.mean + math.hypot(1, sigma) * normal(50, D, seed=2)).float()
    single = GaussianPrior(PRIOR.mean.float(), covariance()).consistency_map()(x_t, sigma)
    torch.testing.assert_close(single.double(), PRIOR.consistency_map()(x_t.double(), sigma), rtol=0, atol=1e-5)


def test_consistency_map_takes_a_level_per_image() -> None:
    x_t, sigmas = normal(3, D, seed=2), [0.1, 1.0, 50.0]
    consistency = PRIOR.consistency_map()
    alone = torch.cat([consistency(x_t[i : i + 1], sigma) for i, sigma in enumerate(sigmas)])
    torch.testing.assert_close(consistency(x_t, torch.tensor(sigmas).double()), alone)


class Squares(GaussianOperator):
    def forward(self, x_0: Tensor) -> Tensor:
        return x_0.square()


def test_wrong_priors_are_refused() -> None:
    mean, eye = torch.zeros(D), torch.eye(D)
    with pytest.raises(ValueError, match=r"mean of shape \(8,\) needs a covariance \(8, 8\), but got \(7, 7\)"):
        GaussianPrior(mean, torch.eye(7))
    with pytest.raises(ValueError, match=r"covariance must be finite floats, but got .* 64 non-finite"):
        GaussianPrior(mean, eye * math.nan)
    with pytest.raises(ValueError, match=r"mean must be finite floats, but got .* 8 non-finite"):
        GaussianPrior(mean / 0, eye)
    with pytest.raises(ValueError, match=r"mean must be finite floats, but got torch\.int64"):
        GaussianPrior(mean.long(), eye)
    with pytest.raises(ValueError, match=r"mean must be images .* but got \[1\]"):
        GaussianPrior(torch.tensor(0.0), torch.eye(1))
    with pytest.raises(ValueError, match=r"symmetric, but entries up to 1 differ by 0\.5"):
        GaussianPrior(mean, eye + 0.5 * torch.eye(D).roll(1, 0).triu(1))
    with pytest.raises(ValueError, match=r"no negative eigenvalues, but got -0\.1 beside 1"):
        GaussianPrior(mean, torch.diag(torch.tensor([-0.1] + [1.0] * 7)))


def test_wrong_measurements_are_refused() -> None:
    with pytest.raises(TypeError, match="known for a LinearOperator, but Squares is not one"):
        PRIOR.posterior(Squares(0.1), torch.zeros(1, D))
    with pytest.raises(ValueError, match=r"MatrixOperator measures 2 numbers of images \(8,\), but y has 3"):
        PRIOR.posterior(MatrixOperator(normal(2, D), 0.1), torch.zeros(1, 3))
    with pytest.raises(ValueError, match="measurement must be finite"):
        PRIOR.posterior(MatrixOperator(normal(2, D), 0.1), torch.full((1, 2), math.nan))


def test_a_mask_that_the_measurement_carries_is_a_selection_of_rows() -> None:
    shape = (3, 2, 2)
    factor = normal(12, 12, seed=5)
    prior = GaussianPrior(normal(*shape, seed=6), factor @ factor.T)
    operator, stream = RandomInpainting(0.5, noise_std=0.3, per_image=True), NoiseSource(0, [1])
    y = operator.measure(prior.sample(stream), stream)
    seen = ~y.flatten().isnan()
    assert 0 < seen.sum() < 12
    flat = GaussianPrior(prior.mean.flatten(), prior.covariance)
    rows = torch.eye(12, dtype=torch.float64)[seen]
    expected = flat.posterior(MatrixOperator(rows, 0.3), y.flatten()[seen].unsqueeze(0))
    found = prior.posterior(operator, y)
    torch.testing.assert_close(found.mean.flatten(), expected.mean)
    torch.testing.assert_close(found.covariance, expected.covariance)


@pytest.mark.parametrize("sigma_min", [0.0, -1.0, math.nan])
def test_a_consistency_map_ends_above_zero(sigma_min: float) -> None:
    with pytest.raises(ValueError, match="needs a finite sigma_min > 0"):
        GaussianConsistencyMap(PRIOR, sigma_min)
