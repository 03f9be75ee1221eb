"""Theorem 4.1 of Purohit et al. 2024 on the line: how far a posterior moves when its prior is only a model.

    TV(p(x_0 | y), q(x_0 | y)) <= 2 kappa_y eps,    eps = TV(p, q),    kappa_y = sup p(y | x_0) / int p(y | x) p(x) dx

The prior p is known by its distribution function, the model q is the law of a perturbed generator `Phi(z)`, and both
are probabilities of the same fine cells. The theorem holds for these as they stand, so quadrature cannot break it.

Half of the bound is enough: with `m = min(p, q)`, `L = p(y | .) / Z_y` (so that `int L p = 1`), `b = int L (p - m)` and
`a = int L (q - m)`, the two posteriors share at least `int L m / max(1, 1 + a - b)`, hence

    TV <= 1 - (1 - b) / max(1, 1 + a - b) <= max(a, b) <= kappa_y eps.

Less than half is not: a measurement that names a class, and a generator that loses part of it, reach `kappa_y eps`.
"""

import math
from collections.abc import Callable
from functools import cache
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp, ndtr, ndtri

from dis_lightning.priors import FlowMap, GaussianMixturePrior

Array = np.ndarray
Map = Callable[[Array], Array]

EDGES = np.concatenate([[-np.inf], np.linspace(-12, 12, 2401), [np.inf]])
CELLS = np.concatenate([[-12.0], (EDGES[1:-2] + EDGES[2:-1]) / 2, [12.0]])
UNIFORM = (np.arange(20_000) + 0.5) / 20_000


class TwoModes:
    """`0.3 N(-1.5, 0.4^2) + 0.7 N(1, 0.5^2)`."""

    WEIGHTS, MEANS, STDS = (0.3, 0.7), (-1.5, 1.0), (0.4, 0.5)

    def cdf(self, x: Array) -> Array:
        return sum(w * ndtr((x - m) / s) for w, m, s in zip(self.WEIGHTS, self.MEANS, self.STDS, strict=True))

    def ppf(self, u: Array) -> Array:
        grid = np.linspace(-5, 5, 10_001)
        return np.interp(u, self.cdf(grid), grid)


PRIORS = {
    "normal": stats.norm(0.3, 1.2),
    "laplace": stats.laplace(0, 0.7),
    "student": stats.t(3),
    "uniform": stats.uniform(-2, 4),
    "two modes": TwoModes(),
}
# How a generator may fail, given the exact one: from noise z to images.
GENERATORS: dict[str, Callable[[Map, Array], Array]] = {
    "shifted": lambda exact, z: exact(z) + 0.05,
    "too wide": lambda exact, z: 1.1 * exact(z),
    "warped noise": lambda exact, z: exact(z + 0.1 * np.sin(3 * z)),
    "rippled": lambda exact, z: exact(z) + 0.02 * np.sin(20 * z),
    "tails cut": lambda exact, z: exact(z.clip(-1.8, 1.8)),
    "half lost": lambda exact, z: exact(np.abs(z)),
}
OPERATORS: dict[str, Map] = {
    "linear": lambda x: 1.5 * x,
    "square": np.square,
    "clipped": lambda x: (2 * x).clip(-1, 1),
    "step": lambda x: np.where(x > 0.5, 1.0, -1.0),
}
ROUNDING = 1e-12
QUANTILES, NOISES = (0.02, 0.3, 0.5, 0.9, 0.999), (0.05, 0.3, 2.0)


class Errors(NamedTuple):
    prior: float
    posterior: float
    condition: float

    @property
    def share(self) -> float:
        """How much of `kappa_y eps` the posterior's error is."""
        return self.posterior / (self.condition * self.prior)


def errors(p: Array, q: Array, energy: Array) -> Errors:
    """The theorem's quantities for probabilities of cells and `-log p(y | x_0)` in each."""
    with np.errstate(divide="ignore"):
        log_p, log_q = np.log(p) - energy, np.log(q) - energy
    log_evidence = logsumexp(log_p)
    posterior = np.exp(log_p - log_evidence) - np.exp(log_q - logsumexp(log_q))
    condition = math.exp(min(-energy.min() - log_evidence, 700))
    return Errors(float(np.abs(p - q).sum() / 2), float(np.abs(posterior).sum() / 2), condition)


def pushforward(generator: Map) -> Array:
    """Probabilities of the cells under `generator(z)`, which need not be monotone."""
    inner = np.interp(EDGES[1:-1], np.sort(generator(ndtri(UNIFORM))), UNIFORM, left=0, right=1)
    return np.diff(inner, prepend=0, append=1)


def gaussian_energy(operator: Map, y: float, noise_std: float) -> Array:
    return (operator(CELLS) - y) ** 2 / (2 * noise_std**2)


@cache
def cases(prior: str) -> list[Errors]:
    """Every generator, operator, measurement and noise; y runs from the usual to one that the prior hardly explains."""
    law, found = PRIORS[prior], []
    p = np.diff(law.cdf(EDGES))
    for generator, operator in product(GENERATORS.values(), OPERATORS.values()):
        q = pushforward(lambda z, generator=generator: generator(lambda z: law.ppf(ndtr(z)), z))
        for quantile, noise_std in product(QUANTILES, NOISES):
            y = float(operator(law.ppf(np.array(quantile)))) + noise_std
            found.append(errors(p, q, gaussian_energy(operator, y, noise_std)))
    return found


def test_the_quadrature_agrees_with_closed_forms() -> None:
    """Two Gaussians apart by delta: the posteriors are Gaussians of variance v, apart by `delta v / s^2`."""
    m, s, delta, a, noise_std, y = 0.3, 1.2, 0.4, 1.5, 0.7, 2.0
    p, q = (np.diff(stats.norm(mean, s).cdf(EDGES)) for mean in (m, m + delta))
    found = errors(p, q, gaussian_energy(lambda x: a * x, y, noise_std))
    evidence_variance = a**2 * s**2 + noise_std**2
    v = s**2 * noise_std**2 / evidence_variance
    assert found.prior == pytest.approx(2 * ndtr(delta / (2 * s)) - 1, rel=1e-5)
    assert found.posterior == pytest.approx(2 * ndtr(delta * v / s**2 / (2 * math.sqrt(v))) - 1, rel=1e-4)
    kappa = math.sqrt(evidence_variance) / noise_std * math.exp((y - a * m) ** 2 / (2 * evidence_variance))
    assert found.condition == pytest.approx(kappa, rel=1e-4)


@pytest.mark.parametrize("prior", PRIORS)
def test_an_exact_generator_has_the_prior_as_its_law(prior: str) -> None:
    law = PRIORS[prior]
    q = pushforward(lambda z: law.ppf(ndtr(z)))
    assert np.abs(np.diff(law.cdf(EDGES)) - q).sum() / 2 < 1e-3


@pytest.mark.parametrize("prior", PRIORS)
def test_the_theorem_holds_and_half_of_its_bound_is_enough(prior: str) -> None:
    found = cases(prior)
    assert len(found) == len(GENERATORS) * len(OPERATORS) * len(QUANTILES) * len(NOISES)
    assert all(case.posterior <= 2 * case.condition * case.prior for case in found)
    assert all(case.posterior <= case.condition * (case.prior + ROUNDING) for case in found)


@pytest.mark.parametrize("prior", PRIORS)
def test_the_bound_says_something_on_ordinary_problems(prior: str) -> None:
    """It is often below 1, which total variation never exceeds, and there some errors are nearly half of it."""
    told = [case for case in cases(prior) if 2 * case.condition * case.prior < 1]
    assert len(told) > 0.4 * len(cases(prior))
    assert max(case.share for case in told) > 0.8


def test_half_of_the_bound_is_enough_for_any_law_and_any_likelihood() -> None:
    generator = np.random.default_rng(0)
    for _ in range(5000):
        size, peakedness = generator.integers(2, 6), 10 ** generator.uniform(-2, 1, 2)
        p, q = (generator.dirichlet(np.full(size, peak)) for peak in peakedness)
        found = errors(p, q, generator.exponential(3, size))
        assert found.posterior <= found.condition * (found.prior + ROUNDING)


@pytest.mark.parametrize("lost", [0.05, 0.3, 0.9])
def test_less_than_half_of_the_bound_is_not_enough(lost: float) -> None:
    """`y` says `x_0 > 0.5`; the generator throws a share of these images to the other side."""
    p = np.diff(stats.norm(0, 1).cdf(EDGES))
    inside = CELLS > 0.5
    first_kept = np.searchsorted(np.cumsum(p * inside), lost * (p * inside).sum())
    gone = inside & (np.arange(len(p)) <= first_kept)
    q = np.where(gone, 0, p)
    q[~inside] *= 1 + p[gone].sum() / p[~inside].sum()
    found = errors(p, q, gaussian_energy(OPERATORS["step"], 1.0, noise_std=0.03))
    assert found.condition == pytest.approx(1 / ndtr(-0.5), rel=1e-2)
    assert found.posterior == pytest.approx(lost, abs=1e-2)
    assert found.share == pytest.approx(1, abs=1e-9)


def test_the_theorem_bounds_what_a_coarse_probability_flow_does_to_a_posterior() -> None:
    law, sigma_max = TwoModes(), 80.0
    means, variances = (torch.tensor(x, dtype=torch.float64).unsqueeze(1) for x in (law.MEANS, law.STDS))
    prior = GaussianMixturePrior(torch.tensor(law.WEIGHTS), means, variances.unsqueeze(2) ** 2)
    p = np.diff(law.cdf(EDGES))
    energy = gaussian_energy(OPERATORS["linear"], 0.5, noise_std=0.5)
    found = []
    for steps in (4, 8, 16, 32):
        flow = FlowMap(prior, steps)
        q = pushforward(lambda z, flow=flow: flow(torch.from_numpy(sigma_max * z[:, None]), sigma_max)[:, 0].numpy())
        found.append(errors(p, q, energy))
    assert all(case.posterior <= case.condition * case.prior for case in found)
    assert all(coarse.prior > 2 * fine.prior for coarse, fine in pairwise(found))
    assert all(coarse.posterior > 2 * fine.posterior for coarse, fine in pairwise(found))
