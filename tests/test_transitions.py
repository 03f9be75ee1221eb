"""Transitions: their published values, and the variance laws that define them."""

import math
from itertools import pairwise

import pytest
import torch

from dis_lightning.levels import KarrasLevels, MultistepLevels
from dis_lightning.noise import NoiseSource
from dis_lightning.transitions import AncestralEuler, PartialRenoise, ProbabilityFlow, Renoise, Transition

TRANSITIONS = [AncestralEuler(), AncestralEuler(eta=0.5), PartialRenoise(0.3), ProbabilityFlow(), Renoise()]
ONE, ZERO = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)


def weights(transition: Transition, sigma: float, sigma_next: float) -> tuple[float, float, float]:
    """Weights of `x_t` and `x_0` in the mean, which is linear in both, and the standard deviation."""
    of_x_t, std = transition(ONE, ZERO, sigma, sigma_next)
    of_x_0, _ = transition(ZERO, ONE, sigma, sigma_next)
    return of_x_t.item(), of_x_0.item(), std


@pytest.mark.parametrize(("step", "sigma_down", "sigma_up"), [(0, 79.1300, 8.2970), (500, 2.45945, 0.33090)])
def test_ancestral_euler_has_the_known_values(step: int, sigma_down: float, sigma_up: float) -> None:
    sigma, sigma_next = KarrasLevels(1000)[step : step + 2]
    of_x_t, of_x_0, std = weights(AncestralEuler(), sigma, sigma_next)
    assert (of_x_t * sigma, std) == (pytest.approx(sigma_down, abs=5e-5), pytest.approx(sigma_up, abs=5e-5))
    assert sigma_down == pytest.approx(sigma_next**2 / sigma, rel=2e-6)
    assert of_x_t + of_x_0 == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("sigma", "sigma_next"), [(80.0, 75.69), (2.5, 0.3), (0.01, 0.002)])
def test_ancestral_euler_keeps_the_variance_law_when_the_clean_image_is_known(
    eta: float, sigma: float, sigma_next: float
) -> None:
    """From `x_0 + sigma n` to `x_0 + sigma_next n`: the weight of x_0 stays 1, the variances add up."""
    of_x_t, of_x_0, std = weights(AncestralEuler(eta), sigma, sigma_next)
    assert of_x_t + of_x_0 == pytest.approx(1)
    assert math.hypot(of_x_t * sigma, std) == pytest.approx(sigma_next)


def test_full_ancestral_euler_is_the_exact_bridge() -> None:
    """Given x_0, the path in sigma^2 is a Brownian motion: its bridge has the covariance sigma_next^2."""
    of_x_t, _, std = weights(AncestralEuler(), 3.0, 1.2)
    assert of_x_t * 3.0**2 == pytest.approx(1.2**2)
    assert std**2 == pytest.approx(1.2**2 * (3.0**2 - 1.2**2) / 3.0**2)


def test_drawn_ancestral_steps_have_the_exact_marginal() -> None:
    count, x_0, levels = 4000, 0.7, [2.0, 1.1, 0.4]
    noise = NoiseSource(0, [0]).samples(count)
    clean = torch.full((count, 1), x_0)
    x_t = clean + levels[0] * noise.like(clean)
    for sigma, sigma_next in pairwise(levels):
        mean, std = AncestralEuler()(x_t, clean, sigma, sigma_next)
        x_t = mean + std * noise.like(mean)
    assert abs(x_t.mean() - x_0) < 5 * 0.4 / math.sqrt(count)
    assert abs(x_t.var() / 0.4**2 - 1) < 5 * math.sqrt(2 / count)


def test_ancestral_euler_without_fresh_noise_is_the_probability_flow() -> None:
    x_t, x_0 = torch.randn(2, 4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    mean, std = AncestralEuler(eta=0)(x_t, x_0, 4.0, 1.5)
    flow, zero = ProbabilityFlow()(x_t, x_0, 4.0, 1.5)
    assert (std, zero) == (0, 0)
    assert torch.equal(mean, flow)


def test_the_probability_flow_is_an_euler_step() -> None:
    x_t, x_0 = torch.randn(2, 4, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    slope = (x_t - x_0) / 4.0
    torch.testing.assert_close(ProbabilityFlow()(x_t, x_0, 4.0, 1.5)[0], x_t + (1.5 - 4.0) * slope)


def test_renoise_forgets_the_noisy_image() -> None:
    of_x_t, of_x_0, std = weights(Renoise(sigma_min=0.5), 3.0, 1.3)
    assert (of_x_t, of_x_0) == (0, 1)
    assert std == pytest.approx(1.2)
    assert Renoise(sigma_min=0.5)(ONE, ZERO, 3.0, 0.2)[1] == 0


def test_a_partly_renewed_image_keeps_the_variance_law_and_meets_both_ends() -> None:
    of_x_t, of_x_0, std = weights(PartialRenoise(0.3), 2.5, 0.8)
    assert of_x_t + of_x_0 == pytest.approx(1)
    assert (math.hypot(of_x_t * 2.5, std), std**2) == (pytest.approx(0.8), pytest.approx(0.3 * 0.8**2))
    assert weights(PartialRenoise(0.0), 2.5, 0.8) == weights(ProbabilityFlow(), 2.5, 0.8)
    assert weights(PartialRenoise(1.0), 2.5, 0.8) == weights(Renoise(0.0), 2.5, 0.8)
    with pytest.raises(ValueError, match=r"PartialRenoise needs share in \[0, 1\], but got 1.1"):
        PartialRenoise(1.1)


@pytest.mark.parametrize("indices", [[0, 17, 39], [0, 19, 39]])
def test_the_last_noise_of_consistency_sampling_is_nothing(indices: list[int]) -> None:
    sigma, sigma_next = MultistepLevels(indices)[-2:]
    # The level is 0.002 up to rounding, and noise below the resolution of float32 is none.
    assert Renoise()(ONE, ZERO, sigma, sigma_next)[1] < 1e-9


@pytest.mark.parametrize("transition", TRANSITIONS, ids=repr)
def test_the_step_to_zero_gives_exactly_the_clean_image(transition: Transition) -> None:
    x_t, x_0 = torch.randn(2, 4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    mean, std = transition(1e3 * x_t, x_0, 0.002, 0.0)
    assert torch.equal(mean, x_0)
    assert std == 0


@pytest.mark.parametrize("transition", TRANSITIONS, ids=repr)
def test_an_image_without_noise_stays_where_it_is(transition: Transition) -> None:
    x_0 = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(transition(x_0, x_0, 3.0, 1.0)[0], x_0)


@pytest.mark.parametrize("eta", [-0.1, 1.1, float("nan")])
def test_a_share_of_noise_out_of_range_is_refused(eta: float) -> None:
    with pytest.raises(ValueError, match=r"eta in \[0, 1\]"):
        AncestralEuler(eta)


def test_a_negative_lowest_level_is_refused() -> None:
    with pytest.raises(ValueError, match="sigma_min >= 0"):
        Renoise(sigma_min=-0.002)
