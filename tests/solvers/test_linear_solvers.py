"""Solvers of linear measurements against exact posteriors, and against their papers direction by direction."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from dis_lightning.levels import KarrasLevels, Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import (
    HDR,
    AveragePool,
    LinearOperator,
    MatrixOperator,
    Operator,
    RandomInpainting,
)
from dis_lightning.operators.base import tensor
from dis_lightning.posteriors import PosteriorSpread
from dis_lightning.priors import GaussianPrior
from dis_lightning.solvers import DDNM, DDRM, MMPS, TMPD, AnnealedSolver, PiGDM, Unguided

LEVELS = KarrasLevels(12, sigma_max=20.0)
SIGMAS = (0.05, 0.7, 3.0, 20.0)


def law(dimension: int = 6, kind: str = "any") -> GaussianPrior:
    """A Gaussian in double precision: with random axes, with the pixels as axes, or round."""
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(dimension, dimension, generator=generator, dtype=torch.float64)
    covariance = {
        "any": root @ root.T / dimension + 0.1 * torch.eye(dimension),
        "independent": torch.linspace(0.3, 2.0, dimension, dtype=torch.float64).diag(),
        "round": 0.49 * torch.eye(dimension, dtype=torch.float64),
    }[kind]
    return GaussianPrior(torch.randn(dimension, generator=generator, dtype=torch.float64), covariance.double())


def operator(rows: int = 3, dimension: int = 6, noise_std: float = 0.4) -> MatrixOperator:
    generator = torch.Generator().manual_seed(1)
    return MatrixOperator(torch.randn(rows, dimension, generator=generator, dtype=torch.float64), noise_std)


def measured(prior: GaussianPrior, what: LinearOperator) -> Tensor:
    return tensor(what.measure(prior.sample(NoiseSource(5, [0])), NoiseSource(6, [0])))


EXACT = {
    "MMPS": ("any", lambda *parts: MMPS(*parts, iterations=3)),
    "TMPD": ("independent", lambda *parts: TMPD(*parts, iterations=3)),
    "PiGDM": ("round", lambda *parts: PiGDM(*parts, spread=PosteriorSpread(0.7))),
}


@pytest.mark.parametrize("name", EXACT)
def test_for_its_gaussian_priors_the_estimate_is_the_exact_conditional_mean(name: str) -> None:
    kind, build = EXACT[name]
    prior, what = law(kind=kind), operator()
    y = measured(prior, what)
    solver: AnnealedSolver = build(what, prior, LEVELS)
    exact = prior.posterior(what, y)
    generator = torch.Generator().manual_seed(2)
    for sigma in SIGMAS:
        x_t = (1 + sigma) * torch.randn(5, 6, generator=generator, dtype=torch.float64)
        x_0, shift = solver.guide(x_t, sigma, y.expand(5, -1), NoiseSource(0, range(5)))
        assert shift is None
        torch.testing.assert_close(x_0, exact(x_t, sigma), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["TMPD", "PiGDM"])
def test_for_other_gaussian_priors_it_is_not(name: str) -> None:
    prior, what = law(), operator()
    y = measured(prior, what)
    x_t = torch.randn(5, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    x_0, _ = EXACT[name][1](what, prior, LEVELS).guide(x_t, 1.0, y.expand(5, -1), NoiseSource(0, range(5)))
    assert (x_0 - prior.posterior(what, y)(x_t, 1.0)).abs().max() > 0.05


@pytest.mark.parametrize("name", EXACT)
def test_so_its_samples_are_those_of_the_exact_conditional_denoiser(name: str) -> None:
    kind, build = EXACT[name]
    prior, what = law(kind=kind), operator()
    y = measured(prior, what).float()
    ours = build(what, prior, LEVELS).solve(y, NoiseSource(3, [0]))
    exact = Unguided(what, prior.posterior(what, y), LEVELS).solve(y, NoiseSource(3, [0]))
    torch.testing.assert_close(ours, exact, rtol=1e-4, atol=1e-4)


def test_a_mask_for_each_image_is_taken_from_its_measurement() -> None:
    """A pixel that was not seen must not count: the same as the matrix of the pixels that were."""
    generator = torch.Generator().manual_seed(4)
    root = torch.randn(16, 16, generator=generator, dtype=torch.float64) / 4
    prior = GaussianPrior(torch.zeros(1, 4, 4, dtype=torch.float64), root @ root.T + 0.05 * torch.eye(16))
    mask = RandomInpainting(0.5, noise_std=0.3, per_image=True)
    y = tensor(mask.measure(prior.sample(NoiseSource(5, [0])), NoiseSource(6, [0])))
    seen = ~y.isnan().flatten()
    rows = MatrixOperator(torch.eye(16, dtype=torch.float64)[seen], 0.3, (1, 4, 4))
    exact = prior.posterior(rows, y.flatten()[seen][None])
    x_t = torch.randn(3, 1, 4, 4, generator=generator, dtype=torch.float64)
    solver = MMPS(mask, prior, LEVELS, iterations=int(seen.sum()))
    x_0, _ = solver.guide(x_t, 0.8, y.expand(3, -1, -1, -1), NoiseSource(0, range(3)))
    torch.testing.assert_close(x_0, exact(x_t, 0.8), rtol=1e-5, atol=1e-5)


SHAPE = (3, 8, 8)


def smooth() -> GaussianPrior:
    place = torch.arange(8.0, dtype=torch.float64)
    axis = (-(place[:, None] - place).abs() / 3).exp()
    return GaussianPrior(torch.zeros(SHAPE, dtype=torch.float64), 0.2 * torch.block_diag(*[torch.kron(axis, axis)] * 3))


@pytest.mark.parametrize("kind", [DDNM, DDRM])
@pytest.mark.parametrize("what", [AveragePool(2), RandomInpainting(0.4), operator(40, 192, 0.0)], ids=str)
def test_without_noise_the_measurement_is_met_exactly(kind: type[DDNM | DDRM], what: LinearOperator) -> None:
    prior = smooth()
    if isinstance(what, MatrixOperator):
        what = MatrixOperator(what.matrix_, 0.0, SHAPE)
    x = prior.sample(NoiseSource(5, [0, 1]))
    y = tensor(what.measure(x, NoiseSource(6, [0, 1])))
    samples = kind(what, prior, LEVELS).solve(y, NoiseSource(0, [0, 1]))[:, 0]
    torch.testing.assert_close(what(samples), y, rtol=1e-4, atol=1e-4)
    assert (samples - x).abs().max() > 0.05


def test_noise_that_vanishes_leaves_ddnm_as_it_is_without() -> None:
    prior, noise = smooth(), NoiseSource(0, [0])
    x = prior.sample(NoiseSource(5, [0]))
    y = AveragePool(2)(x)
    none, little = (DDNM(AveragePool(2, std), prior, LEVELS, eta=0.7).solve(y, noise) for std in (0.0, 1e-7))
    # At the last step the one with noise adds none and so corrects nothing.
    torch.testing.assert_close(none, little, rtol=0, atol=0.02)


def diagonal() -> tuple[GaussianPrior, MatrixOperator]:
    """Directions that are the pixels: measured strongly, weakly and not at all."""
    prior = GaussianPrior(torch.tensor([0.2, -0.4, 0.5]).double(), torch.tensor([0.5, 1.5, 0.8]).double().diag())
    return prior, MatrixOperator(torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.25, 0.0]]).double(), noise_std=0.3)


class Numbers:
    """The noise of one sample, drawn as the solver draws it."""

    def __init__(self) -> None:
        self.source = NoiseSource(7, [0]).samples(1)

    def __call__(self) -> list[float]:
        return [float(value) for value in self.source.normal((1, 3)).flatten()]


def walked(solver: AnnealedSolver, y: Tensor) -> list[float]:
    return [float(value) for value in solver.solve(y, NoiseSource(7, [0])).flatten()]


def test_ddrm_is_the_paper_direction_by_direction() -> None:
    prior, what = diagonal()
    y, eta, eta_b = torch.tensor([[1.1, 0.2]]), 0.85, 0.9
    # Signs of singular vectors are free, and change noise in no direction of the pixels.
    values, measured_at = (2.0, 0.25, 0.0), (1.1, 0.2, 0.0)
    draw = Numbers()
    sigma = LEVELS[0]
    x = [sigma * n for n in draw()]
    for i, (s, seen) in enumerate(zip(values, measured_at, strict=True)):
        if s and sigma >= 0.3 / s:
            x[i] = seen / s + math.sqrt(sigma**2 - (0.3 / s) ** 2) * x[i] / sigma
    for sigma, after in pairwise(LEVELS):
        clean = prior(torch.tensor([x]).double(), sigma).flatten().tolist()
        n = draw()
        for i, (s, seen) in enumerate(zip(values, measured_at, strict=True)):
            r = 0.3 / s if s else math.inf
            if s and after >= r:
                x[i] = (1 - eta_b) * clean[i] + eta_b * seen / s + math.sqrt(after**2 - (eta_b * r) ** 2) * n[i]
            elif s:
                x[i] = clean[i] + math.sqrt(1 - eta**2) * after * (seen / s - clean[i]) / r + eta * after * n[i]
            else:
                x[i] = clean[i] + math.sqrt(1 - eta**2) * after * (x[i] - clean[i]) / sigma + eta * after * n[i]
    found = walked(DDRM(what, prior, LEVELS, eta=eta, eta_b=eta_b), y)
    assert found == pytest.approx(x, abs=1e-5)


def test_ddnm_with_noise_is_the_paper_direction_by_direction() -> None:
    prior, what = diagonal()
    y, eta = torch.tensor([[1.1, 0.2]]), 0.85
    values, measured_at = (2.0, 0.25, 0.0), (1.1, 0.2, 0.0)
    draw = Numbers()
    x = [LEVELS[0] * n for n in draw()]
    for sigma, after in pairwise(LEVELS):
        clean = prior(torch.tensor([x]).double(), sigma).flatten().tolist()
        n = draw()
        up = eta * after * math.sqrt(sigma**2 - after**2) / sigma
        a = 1 - math.sqrt(after**2 - up**2) / sigma
        for i, (s, seen) in enumerate(zip(values, measured_at, strict=True)):
            share = min(1.0, s * up / (a * 0.3))
            corrected = clean[i] + (share / s * (seen - s * clean[i]) if s else 0.0)
            left = up**2 - ((a * share * 0.3 / s) ** 2 if s else 0.0)
            x[i] = (1 - a) * x[i] + a * corrected + math.sqrt(max(left, 0.0)) * n[i]
    assert walked(DDNM(what, prior, LEVELS, eta=eta), y) == pytest.approx(x, abs=1e-4)


def test_ddrm_gives_the_posterior_mean_of_what_is_measured_from_the_level_of_its_noise() -> None:
    prior, _ = diagonal()
    # Both measured directions have the level 0.15, the last before 0; the third is a sample of the prior.
    what = MatrixOperator(torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]).double(), noise_std=0.3)
    y = torch.tensor([[1.1, 0.7]])
    levels = Levels([30.0, 5.0, 1.0, 0.15, 0.0])
    samples = DDRM(what, prior, levels, num_samples=4).solve(y, NoiseSource(0, [0]))[0]
    mean = prior.posterior(what, y).mean
    torch.testing.assert_close(samples[:, :2], mean[:2].float().expand(4, 2), rtol=1e-5, atol=1e-5)
    assert samples[:, 2].std() > 0.1


@pytest.mark.parametrize("kind", [DDNM, DDRM, MMPS, PiGDM, TMPD])
def test_a_measurement_that_is_not_linear_is_refused(kind: type[AnnealedSolver]) -> None:
    with pytest.raises(TypeError, match="LinearOperator as `operator`, but got HDR: take DPS"):
        kind(HDR(noise_std=0.1), smooth(), LEVELS)


@pytest.mark.parametrize("kind", [DDNM, DDRM])
def test_an_operator_whose_decomposition_is_not_known_is_refused(kind: type[AnnealedSolver]) -> None:
    class Own(AveragePool):
        decomposition = LinearOperator.decomposition

    what: Operator = Own(2, 0.1)
    with pytest.raises(ValueError, match="singular value decomposition of the operator, which Own does not know"):
        kind(what, smooth(), LEVELS)
    assert DDNM(Own(2), smooth(), LEVELS).eta == 0.85  # without noise the pseudo-inverse is enough


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda *parts: DDNM(*parts, eta=0.0), "eta > 0"),
        (lambda *parts: DDNM(*parts, visits=0), "visits >= 1"),
        (lambda *parts: DDRM(*parts, eta=1.2), r"eta in \[0, 1\]"),
        (lambda *parts: DDRM(*parts, eta_b=-0.1), r"eta_b in \[0, 1\]"),
        (lambda *parts: MMPS(*parts, iterations=0), "iterations >= 1"),
        (lambda *parts: TMPD(*parts, iterations=0), "iterations >= 1"),
        (lambda *parts: PiGDM(*parts, scale=-1.0), "scale >= 0"),
    ],
)
def test_numbers_out_of_range_are_refused(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(AveragePool(2, 0.1), smooth(), LEVELS)
