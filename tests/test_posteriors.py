"""Posterior models: their laws on a Gaussian prior, whose posterior and probability flow are known."""

import math
from collections.abc import Callable

import pytest
import torch

from dis_lightning.noise import NoiseSource
from dis_lightning.posteriors import (
    ConsistencyPosterior,
    FlatSpread,
    FlowPosterior,
    GaussianPosterior,
    PointPosterior,
    PosteriorSpread,
)
from dis_lightning.priors import GaussianPrior

VARIANCES = torch.tensor([0.25, 4.0], dtype=torch.float64)
PRIOR = GaussianPrior(torch.tensor([0.3, -1.0], dtype=torch.float64), VARIANCES.diag())
X_T = torch.tensor([[0.5, 2.0], [-1.0, 0.1]], dtype=torch.float64)


def noise() -> NoiseSource:
    return NoiseSource(0, [0, 1])


@pytest.mark.parametrize("data_std", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("sigma", [0.002, 0.7, 80.0])
def test_the_spread_rule_is_the_posterior_standard_deviation_of_an_isotropic_gaussian(
    data_std: float, sigma: float
) -> None:
    """The derivative of the posterior mean is the posterior covariance divided by sigma^2."""
    prior = GaussianPrior(torch.zeros(1, dtype=torch.float64), torch.tensor([[data_std**2]], dtype=torch.float64))
    variance = sigma**2 * (prior(torch.ones(1, 1, dtype=torch.float64), sigma)).item()
    assert PosteriorSpread(data_std)(sigma) == pytest.approx(math.sqrt(variance))


def test_a_flat_spread_is_the_limit_of_large_data() -> None:
    assert FlatSpread()(3.0) == 3.0
    assert PosteriorSpread(1e9)(3.0) == pytest.approx(FlatSpread()(3.0))


def test_gaussian_draws_have_the_mean_and_spread_asked_for() -> None:
    count = 4000
    mean, samples = GaussianPosterior(PRIOR, 0.2, samples=count)(X_T, 1.5, noise())
    assert torch.equal(mean, PRIOR(X_T, 1.5))
    z = (samples - mean) / 0.2
    assert (z.mean(0).abs() < 5 / math.sqrt(count)).all()
    assert ((z.var(0) - 1).abs() < 5 * math.sqrt(2 / count)).all()
    covariance = torch.cov(z.permute(1, 2, 0).flatten(0, 1))
    assert (covariance - covariance.diag().diag()).abs().max() < 5 / math.sqrt(count)


def test_a_row_draws_from_its_own_stream() -> None:
    model = GaussianPosterior(PRIOR, PosteriorSpread(), samples=3)
    _, samples = model(X_T, 1.5, noise())
    _, alone = model(X_T[1:], 1.5, NoiseSource(0, [1]))
    torch.testing.assert_close(samples[:, 1:], alone)


def test_without_spread_nothing_is_drawn() -> None:
    streams = noise()
    mean, samples = GaussianPosterior(PRIOR, 0.0, samples=3)(X_T, 1.5, streams)
    assert torch.equal(samples, mean.expand(3, 2, 2))
    assert torch.equal(samples[:1], PointPosterior(PRIOR)(X_T, 1.5, streams).samples)
    assert torch.equal(streams.normal((2, 4)), noise().normal((2, 4)))


def test_a_consistency_sample_comes_with_the_posterior_mean_and_its_own_gradient() -> None:
    consistency, x_t = PRIOR.consistency_map(), X_T.clone().requires_grad_()
    mean, samples = ConsistencyPosterior(PRIOR, consistency)(x_t, 1.5, noise())
    assert torch.equal(mean, PRIOR(X_T, 1.5))
    assert not mean.requires_grad
    assert torch.equal(samples[0], consistency(X_T, 1.5))
    (slope,) = torch.autograd.grad(samples.sum(), x_t)
    gains = torch.sqrt((VARIANCES + 0.002**2) / (VARIANCES + 1.5**2))
    torch.testing.assert_close(slope, gains.expand(2, 2))
    _, spread_out = ConsistencyPosterior(PRIOR, consistency, 0.2)(X_T, 1.5, noise())
    torch.testing.assert_close(spread_out, samples.detach() + 0.2 * noise().like(X_T))


def test_one_step_of_the_flow_ends_at_the_posterior_mean() -> None:
    mean, samples = FlowPosterior(PRIOR, steps=1)(X_T, 1.5, noise())
    assert torch.equal(mean, PRIOR(X_T, 1.5))
    assert torch.equal(samples[0], mean)


@pytest.mark.parametrize("sigma", [0.001, 0.002, 1.5, 80.0])
def test_the_flow_ends_at_the_consistency_sample_with_an_error_of_first_order(sigma: float) -> None:
    mean, few = FlowPosterior(PRIOR, steps=100)(sigma * X_T, sigma, noise())
    _, many = FlowPosterior(PRIOR, steps=200)(sigma * X_T, sigma, noise())
    exact = PRIOR.mean + torch.sqrt(VARIANCES / (VARIANCES + sigma**2)) * (sigma * X_T - PRIOR.mean)
    torch.testing.assert_close(many[0], exact, rtol=0.02, atol=0.02)
    assert torch.equal(mean, PRIOR(sigma * X_T, sigma))
    if sigma > 1:
        torch.testing.assert_close((few - exact) / (many - exact), torch.full_like(few, 2.0), rtol=0.1, atol=0)


@pytest.mark.parametrize(("sigma", "lowest"), [(80.0, 0.002), (0.002, 0.002), (0.001, 0.001)])
def test_the_flow_asks_the_denoiser_once_per_step_at_levels_from_the_start_to_the_lowest(
    sigma: float, lowest: float
) -> None:
    asked: list[float] = []
    with PRIOR.register_forward_pre_hook(lambda _, inputs: asked.append(inputs[1])):
        FlowPosterior(PRIOR, steps=4)(X_T, sigma, noise())
    assert asked[0] == sigma
    ends = sigma ** (1 / 7), lowest ** (1 / 7)
    assert asked == pytest.approx([(ends[0] + i / 3 * (ends[1] - ends[0])) ** 7 for i in range(4)])


def test_the_flow_carries_the_gradient_of_all_its_steps() -> None:
    def end(x_t: torch.Tensor) -> torch.Tensor:
        return FlowPosterior(PRIOR, steps=3)(x_t, 1.5, noise()).samples[0]

    assert torch.autograd.gradcheck(end, X_T.clone().requires_grad_())


@pytest.mark.parametrize("spread", [-0.1, math.inf, math.nan])
def test_a_spread_out_of_range_is_refused(spread: float) -> None:
    for build in (lambda: GaussianPosterior(PRIOR, spread), lambda: ConsistencyPosterior(PRIOR, PRIOR, spread)):
        with pytest.raises(ValueError, match="finite spread >= 0, but got"):
            build()


@pytest.mark.parametrize("data_std", [0.0, -1.0, math.inf, math.nan])
def test_a_rule_needs_a_positive_standard_deviation(data_std: float) -> None:
    with pytest.raises(ValueError, match="finite data_std > 0, but got"):
        PosteriorSpread(data_std)


def test_no_draws_and_no_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="samples >= 1, a whole number, but got samples=0"):
        GaussianPosterior(PRIOR, 0.2, samples=0)
    for steps, sigma_min in ((0, 0.002), (2, 0.0)):
        with pytest.raises(ValueError, match=r"FlowPosterior needs (steps >= 1|a finite sigma_min > 0), "):
            FlowPosterior(PRIOR, steps, sigma_min)


def test_a_prior_of_the_other_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="ConsistencyPosterior needs a consistency map as `consistency`, but Gaussian"):
        ConsistencyPosterior(PRIOR, PRIOR)
    with pytest.raises(ValueError, match="FlowPosterior needs a posterior mean as `denoiser`, but GaussianCons"):
        FlowPosterior(PRIOR.consistency_map(), steps=2)
    ConsistencyPosterior(PRIOR, PRIOR.consistency_map())
    GaussianPosterior(PRIOR.consistency_map(), 0.2)  # the papers' LGD-CM


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda: GaussianPosterior(PRIOR, None), "spread"),
        (lambda: GaussianPosterior(PRIOR, 0.2, samples=None), "samples"),
        (lambda: ConsistencyPosterior(PRIOR, PRIOR, None), "spread"),
        (lambda: FlowPosterior(PRIOR, None), "steps"),
        (lambda: FlowPosterior(PRIOR, 2, None), "sigma_min"),
        (lambda: PosteriorSpread(None), "data_std"),
    ],
)
def test_a_number_that_is_none_is_named(build: Callable[[], object], name: str) -> None:
    with pytest.raises(TypeError, match=rf"needs a number as `{name}`, but got none \(null\)"):
        build()
