"""Guidance gradients: finite differences, row by row, and the exact gradient of log p(y | x_t) where it is known."""

import math

import pytest
import torch
from torch import Tensor

from dis_lightning.guidance import (
    LogMeanExp,
    MeanDistance,
    Reduction,
    SumDistance,
    gradient,
    guide_clean_image,
    guide_noisy_image,
)
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import GaussianOperator, MatrixOperator
from dis_lightning.posteriors import GaussianPosterior, PointPosterior, PosteriorSpread
from dis_lightning.priors import GaussianPrior

PRIOR = GaussianPrior(torch.tensor([0.3, -1.0], dtype=torch.float64), torch.eye(2, dtype=torch.float64))
MATRIX = torch.tensor([[1.0, 0.5], [-0.3, 0.8]], dtype=torch.float64)
X_T = torch.tensor([[0.5, 2.0], [-1.0, 0.1], [3.0, -2.0]], dtype=torch.float64)
Y = torch.tensor([[0.2, -0.4], [1.0, 0.3], [-0.7, 0.6]], dtype=torch.float64)
SIGMA = 1.2


class Square(GaussianOperator):
    """`y = x_0^2`."""

    def forward(self, x_0: Tensor) -> Tensor:
        return x_0**2


@pytest.mark.parametrize("reduction", [MeanDistance(), SumDistance(), LogMeanExp()], ids=["mean", "sum", "logmeanexp"])
def test_the_gradient_agrees_with_finite_differences(reduction: Reduction) -> None:
    operator, posterior = Square(noise_std=0.7), GaussianPosterior(PRIOR, PosteriorSpread(), samples=4)

    def value(x_t: Tensor) -> Tensor:
        return reduction(posterior(x_t, SIGMA, NoiseSource(0, range(3))).samples, Y, operator)

    x_0, slope = guide_noisy_image(X_T, SIGMA, Y, posterior, operator, NoiseSource(0, range(3)), reduction)
    step = 1e-5 * torch.eye(2, dtype=torch.float64)
    differences = torch.stack([(value(X_T + h) - value(X_T - h)) / 2e-5 for h in step], dim=1)
    torch.testing.assert_close(slope, differences, rtol=1e-7, atol=1e-8)
    assert torch.equal(x_0, PRIOR(X_T, SIGMA))


def test_values_of_a_reduction_are_those_of_its_definition() -> None:
    operator, samples = Square(noise_std=0.7), torch.stack([X_T, -0.5 * X_T, X_T + 1])
    residuals = torch.stack([x_0**2 - Y for x_0 in samples])
    distances, likelihoods = residuals.norm(dim=2), torch.exp(-residuals.square().sum(2) / (2 * 0.7**2))
    torch.testing.assert_close(MeanDistance()(samples, Y, operator), distances.mean(0))
    torch.testing.assert_close(SumDistance()(samples, Y, operator), distances.sum(0))
    torch.testing.assert_close(LogMeanExp()(samples, Y, operator), -likelihoods.mean(0).log())


def test_the_log_mean_exp_survives_likelihoods_below_the_smallest_number() -> None:
    value = LogMeanExp()(torch.stack([X_T, X_T]), Y + 1e4, MatrixOperator(MATRIX, noise_std=0.1))
    torch.testing.assert_close(value, MatrixOperator(MATRIX, noise_std=0.1).energy(X_T, Y + 1e4))


def test_the_log_mean_exp_over_exact_draws_is_the_exact_guidance() -> None:
    """For `x_0 ~ N(m, I)` the draws are exact, and `p(y | x_t) = N(A D(x_t), r^2 A A^T + noise_std^2 I)`."""
    rows, noise_std = 64, 0.6
    x_t, y = X_T[:1].expand(rows, 2), Y[:1].expand(rows, 2)
    posterior = GaussianPosterior(PRIOR, PosteriorSpread(), samples=1000)
    noise = NoiseSource(0, range(rows))
    _, slopes = guide_noisy_image(x_t, SIGMA, y, posterior, MatrixOperator(MATRIX, noise_std), noise, LogMeanExp())

    r = SIGMA / math.sqrt(1 + SIGMA**2)
    covariance = r**2 * MATRIX @ MATRIX.T + noise_std**2 * torch.eye(2, dtype=torch.float64)
    residual = MATRIX @ PRIOR(X_T[:1], SIGMA)[0] - Y[0]
    exact = MATRIX.T @ torch.linalg.solve(covariance, residual) / (1 + SIGMA**2)
    error = slopes.mean(0) - exact
    assert (error.abs() < 5 * slopes.std(0) / math.sqrt(rows)).all()
    assert error.norm() < 0.03 * exact.norm()


def test_guidance_at_the_clean_image_is_known_for_a_linear_operator() -> None:
    residual = X_T @ MATRIX.T - Y
    expected = residual @ MATRIX / residual.norm(dim=1, keepdim=True)
    torch.testing.assert_close(guide_clean_image(X_T, Y, MatrixOperator(MATRIX)), expected)


def test_a_broken_row_leaves_the_gradients_of_the_others_as_they_are() -> None:
    operator, posterior = MatrixOperator(MATRIX), PointPosterior(PRIOR)
    broken = Y.clone()
    broken[1] = torch.nan
    for good, bad in (
        (guide_clean_image(X_T, Y, operator), guide_clean_image(X_T, broken, operator)),
        [guide_noisy_image(X_T, SIGMA, y, posterior, operator, NoiseSource(0, range(3)))[1] for y in (Y, broken)],
    ):
        assert torch.equal(good[[0, 2]], bad[[0, 2]])
        assert bad[1].isnan().all()


def test_nothing_of_the_graph_is_left_behind() -> None:
    with torch.no_grad():
        value, slope, kept = gradient(lambda x: (x.square().sum(1), 3 * x), X_T)
    assert not any(each.requires_grad for each in (value, slope, kept, X_T))
    torch.testing.assert_close((value, slope, kept), (X_T.square().sum(1), 2 * X_T, 3 * X_T))


def test_inference_mode_is_named() -> None:
    with torch.inference_mode(), pytest.raises(ValueError, match=r"which torch.inference_mode\(\) rules out"):
        gradient(lambda x: (x.square().sum(1), x), X_T)


def test_a_likelihood_without_noise_is_refused() -> None:
    with pytest.raises(ValueError, match="needs noise_std > 0"):
        LogMeanExp()(X_T[None], Y, MatrixOperator(MATRIX))
