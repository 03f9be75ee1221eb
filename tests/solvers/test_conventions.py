"""The units of guidance scales: DPS in DDPM's own variable, and the law that the Bayes weight reaches."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from linear_gaussian import OPERATOR as LINEAR
from linear_gaussian import PRIOR, Y
from scalar_gaussian import CONSISTENCY, LEVELS, MEAN, OPERATOR, SAMPLES, Array, Draw, energy, slope, solve, walk

from dis_lightning.guidance import Convention, LikelihoodScale, LogMeanExp, MeanDistance, SigmaScale, VPScale
from dis_lightning.levels import KarrasLevels, Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import MatrixOperator
from dis_lightning.posteriors import PosteriorSpread
from dis_lightning.priors import GaussianPrior
from dis_lightning.solvers import DAPS, DPS, LGD, TDS, AnnealedSolver, ConsistencyDPS, DiffPIR, FreeDoM, PiGDM
from studies.problems import gaussian_problem

NOISELESS = MatrixOperator(torch.eye(1))

GUIDED: dict[str, Callable[..., AnnealedSolver]] = {
    "DPS": DPS,
    "FreeDoM": lambda *parts, **more: FreeDoM(*parts, visits=1, **more),
    "LGD": lambda *parts, **more: LGD(*parts, spread=0.0, **more),
    "Xu I": lambda *parts, **more: ConsistencyDPS(*parts, consistency=CONSISTENCY.network, spread=0.0, **more),
}
for_every_guided = pytest.mark.parametrize("name", GUIDED)


def guided(name: str, convention: Convention | None, scale: float = 0.3, **more: Any) -> AnnealedSolver:
    return GUIDED[name](OPERATOR, MEAN.network, LEVELS, scale=scale, convention=convention, num_samples=SAMPLES, **more)


def test_the_step_of_dps_in_ddpms_variable_is_that_of_the_paper() -> None:
    """`u' = DDPM(u, x_0) - zeta grad_u |A(x_0) - y|`, with the smaller variance, from the tables of a schedule."""
    zeta, betas = 0.3, np.linspace(0.02, 0.6, 10)
    alphas = 1 - betas
    total = alphas.cumprod()
    before = np.append(1.0, total[:-1])
    sigmas = np.sqrt(1 / total - 1)
    rows = NoiseSource(0, [0]).samples(SAMPLES)
    u = np.sqrt(1 - total[-1]) * rows.normal((SAMPLES,)).double().numpy()
    for t in range(9, -1, -1):
        scaled = math.sqrt(total[t])
        x_0 = MEAN(u / scaled, sigmas[t])
        gradient = slope(x_0) * MEAN.gain(sigmas[t]) / scaled  # D(u / scaled), differentiated with respect to u
        mean = math.sqrt(before[t]) * betas[t] * x_0 + math.sqrt(alphas[t]) * (1 - before[t]) * u
        u = mean / (1 - total[t]) - zeta * gradient
        if t > 0:
            u += math.sqrt(betas[t] * (1 - before[t]) / (1 - total[t])) * rows.normal((SAMPLES,)).double().numpy()
    solver = DPS(
        OPERATOR,
        MEAN.network,
        Levels([*sigmas[::-1], 0.0]),
        scale=zeta,
        convention=VPScale(),
        num_samples=SAMPLES,
    )
    np.testing.assert_allclose(solve(solver), u, rtol=1e-5, atol=1e-5)


@for_every_guided
def test_a_scale_is_weighed_as_its_convention_says(name: str) -> None:
    estimate = CONSISTENCY if name == "Xu I" else MEAN

    def by_distance(weight: Callable[[float, float], float]) -> Callable[[Array, float, Draw], tuple[Array, Array]]:
        following = dict(pairwise(LEVELS))

        def guide(x: Array, sigma: float, _: Draw) -> tuple[Array, Array]:
            gradient = estimate.gain(sigma) * slope(estimate(x, sigma))
            return MEAN(x, sigma), 0.3 * weight(sigma, following[sigma]) * gradient

        return guide

    def by_energy(x: Array, sigma: float, _: Draw) -> tuple[Array, float]:
        _, gradient = energy(estimate(x, sigma))
        return MEAN(x, sigma) - 0.3 * sigma**2 * estimate.gain(sigma) * gradient, 0.0

    papers = walk(by_distance(lambda sigma, _: sigma))
    ddpm = walk(by_distance(lambda sigma, sigma_next: math.sqrt((1 + sigma**2) * (1 + sigma_next**2))))
    for convention, expected in (
        (None, papers),
        (SigmaScale(), papers),
        (VPScale(), ddpm),
        (LikelihoodScale(), walk(by_energy)),
    ):
        np.testing.assert_allclose(solve(guided(name, convention)), expected, rtol=1e-4, atol=1e-4)


@for_every_guided
def test_a_likelihood_needs_noise_on_the_measurement_and_says_so_at_the_start(name: str) -> None:
    with pytest.raises(ValueError, match="needs noise on the measurement, but MatrixOperator has noise_std=0"):
        GUIDED[name](NOISELESS, MEAN.network, LEVELS, scale=1.0, convention=LikelihoodScale())
    GUIDED[name](NOISELESS, MEAN.network, LEVELS, scale=1.0, convention=VPScale())


def test_draws_are_weighed_by_what_the_convention_follows() -> None:
    arguments: dict[str, Any] = {"scale": 1.0, "monte_carlo_samples": 3}
    assert isinstance(LGD(OPERATOR, MEAN.network, LEVELS, **arguments).reduction, MeanDistance)
    by_likelihood = LGD(OPERATOR, MEAN.network, LEVELS, convention=LikelihoodScale(), **arguments)
    assert isinstance(by_likelihood.reduction, LogMeanExp)
    with pytest.raises(
        ValueError, match="LikelihoodScale follows the likelihood, but MeanDistance is made of distances"
    ):
        LGD(OPERATOR, MEAN.network, LEVELS, convention=LikelihoodScale(), reduction=MeanDistance(), **arguments)
    with pytest.raises(ValueError, match="LGD needs noise on the measurement"):
        LGD(NOISELESS, MEAN.network, LEVELS, reduction=LogMeanExp(), **arguments)


@pytest.mark.parametrize("sigma", [0.4, 2.0])
def test_at_scale_1_many_draws_of_the_posterior_give_the_exact_mean_given_both(sigma: float) -> None:
    """For unit covariance, `PosteriorSpread()` is exact; the bound is 5 standard errors of 100 rows of 1000 draws."""
    prior, rows, draws = GaussianPrior(PRIOR.mean, torch.eye(2)), 100, 1000
    x_t = torch.tensor([[1.5, -0.7]])
    solver = LGD(
        LINEAR,
        prior,
        Levels([sigma, 0.0]),
        scale=1.0,
        spread=PosteriorSpread(),
        monte_carlo_samples=draws,
        convention=LikelihoodScale(),
    )
    x_0, shift = solver.guide(x_t.repeat(rows, 1), sigma, Y.repeat(rows, 1), NoiseSource(0, range(rows)))
    assert shift is None
    # A weighted mean of draws of standard deviation below 1, times the gain sigma^2 / r^2 of at most 1 + sigma^2 on the
    # gradient; the weights leave a third of the draws or more.
    error = (1 + sigma**2) / math.sqrt(rows * draws / 3)
    mean = x_0.mean(dim=0, keepdim=True)
    torch.testing.assert_close(mean, prior.posterior(LINEAR, Y)(x_t, sigma), rtol=0, atol=5 * error)


@pytest.mark.parametrize("sigma", [0.4, 2.0, 50.0])
def test_widened_by_the_spread_one_point_is_exact_where_lengths_are_kept(sigma: float) -> None:
    prior = GaussianPrior(torch.tensor([0.3, -0.2, 0.1]), 0.7**2 * torch.eye(3))
    rows, _ = torch.linalg.qr(torch.tensor([[1.0, 0.5], [-0.3, 0.8], [0.6, 0.6]]))
    operator, y, x_t = (
        MatrixOperator(rows.T, noise_std=0.2),
        torch.tensor([[0.5, -0.1]]),
        torch.tensor([[1.0, -2.0, 3.0]]),
    )
    convention = LikelihoodScale(PosteriorSpread(0.7))
    solver = DPS(operator, prior, Levels([sigma, 0.0]), scale=1.0, convention=convention)
    x_0, _ = solver.guide(x_t, sigma, y, NoiseSource(0, [0]))
    torch.testing.assert_close(x_0, prior.posterior(operator, y)(x_t, sigma), rtol=1e-4, atol=1e-4)


def test_without_a_tuned_scale_a_widened_likelihood_walks_nearly_as_well_as_a_tuned_distance() -> None:
    """On the Gaussian of the exact table, whose matrix stretches; the likelihood as it is diverges there."""
    problem = gaussian_problem(6, 3)
    levels = KarrasLevels(40)

    def error(scale: float, convention: Convention | None) -> float:
        parts = (problem.operator, problem.prior, levels)
        return problem.distance(problem.draw(DPS(*parts, scale=scale, convention=convention, num_samples=200)))

    tuned = min(error(scale, None) for scale in (0.3, 1.0, 3.0))
    assert error(1.0, LikelihoodScale(PosteriorSpread(1.0))) < 1.5 * tuned
    assert error(1.0, LikelihoodScale()) > 10 * tuned


@pytest.mark.parametrize(
    ("build", "needs"),
    [
        *(
            (lambda *parts, kind=kind: kind(*parts, spread=0.5), "Spread or none as `spread`, but got 0.5")
            for kind in (DAPS, DiffPIR, PiGDM, TDS)
        ),
        (lambda *parts: DAPS(*parts, reach=0.0), "DAPS needs Spread or none as `reach`, but got 0.0"),
        (lambda *_: LikelihoodScale(0.0), "LikelihoodScale needs Spread or none as `spread`, but got 0.0"),
        (lambda *parts: DPS(*parts, scale=1.0, transition="ancestral"), "Transition or none as `transition`"),
        (lambda *parts: DPS(*parts, scale=1.0, convention="sigma"), "Convention or none as `convention`"),
        (lambda *parts: LGD(*parts, scale=1.0, reduction="sum"), "Reduction or none as `reduction`"),
    ],
)
def test_what_is_no_rule_is_refused_before_anything_is_sampled(build: Callable[..., object], needs: str) -> None:
    with pytest.raises(TypeError, match=needs):
        build(OPERATOR, MEAN.network, LEVELS)
