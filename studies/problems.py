"""Inverse problems whose posterior is known exactly.

A problem is a law of images in closed form, how they are measured, and what was measured of one of them. Its posterior
is again a prior in closed form, and its denoiser is the exact conditional denoiser: an unguided sampler that is given
it draws from the posterior, but for the error of its steps. What it misses at a guided sampler's own levels and
transition is the error of those steps; only what the guided one misses beyond that is the guidance's.

    Gaussian         random axes, a random linear measurement
    mixture          25 Gaussians on a grid (Cardoso et al., MCGdiff, 2023), a random linear measurement
    atoms            16 images, measured in four ways, as pictures are
    random walk      a Gaussian process, blurred (Zach, Haouchat, Unser, 2026): many images, for calibration
    small problems   four numbers: a Gaussian or five narrow ones, measured in three ways

A measurement that is not linear has no closed form under a continuous law. Where the small problems have one, the
images are 2048 atoms, drawn once from that law: a prior of its own, for which everything is exact.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, product
from typing import Self

import torch
from torch import Tensor

from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import HDR, MatrixOperator, Operator, PhaseRetrieval
from dis_lightning.operators.base import tensor
from dis_lightning.priors import ExactPrior, FiniteAtomPrior, GaussianMixturePrior, GaussianPrior
from dis_lightning.solvers import Solver, Unguided
from dis_lightning.transitions import Transition
from studies.measurements import LinearLogits, Pointwise, clipped
from studies.scores import sliced_wasserstein

__all__ = [
    "Problem",
    "atom_problems",
    "blurring",
    "gaussian_problem",
    "measured",
    "mixture_problem",
    "small_problems",
    "walk_problem",
]

TRUTH, MEASUREMENT, EXACT_SAMPLES = 10_000, 20_000, 30_000
"""Seeds of the parts of a problem; the solvers' own are small, so that no stream is used twice."""
BATCHES = 1000
"""Independent sets of exact samples that an image may have."""

DIMENSION, MEASURED, COMPONENTS, ATOMS = 4, 2, 5, 2048
COMPONENT_STD, NOISE_STD = 0.3, 0.2
"""Sizes of the small problems."""


@dataclass(frozen=True)
class Problem:
    """A law of images, how they are measured, and what was measured of B images; of one, unless said otherwise."""

    name: str
    """For people."""
    prior: ExactPrior
    """The law of the images."""
    operator: Operator
    """How they are measured; `y` is a tensor."""
    truth: Tensor
    """The images that were measured, `(B, *shape)`."""
    y: Tensor
    """What was measured of them, `(B, ...)`."""
    first: int = 0
    """Number of the first image; exact samples of different images are drawn from streams of their own."""

    @cached_property
    def singles(self) -> list[Self]:
        """Each image as a problem of its own."""
        parts = zip(self.truth.split(1), self.y.split(1), strict=True)
        return [replace(self, truth=truth, y=y, first=self.first + place) for place, (truth, y) in enumerate(parts)]

    @cached_property
    def posterior(self) -> ExactPrior:
        """The exact posterior of one image; its denoiser is the exact conditional denoiser."""
        return self.prior.posterior(self.operator, self.y)

    def exact(self, count: int, batch: int = 0) -> Tensor:
        """Exact posterior samples of one image, `(count, *shape)`; another `batch` gives independent ones."""
        return self.posterior.sample(NoiseSource(EXACT_SAMPLES, [BATCHES * self.first + batch]).samples(count))

    def draw(self, solver: Solver) -> Tensor:
        """The solver's posterior samples of one image, `(S, *shape)`."""
        return solver.solve(self.y, NoiseSource(solver.seed, [0]))[0]

    def oracle(self, levels: Levels, num_samples: int, transition: Transition | None = None) -> Tensor:
        """Samples by the exact conditional denoiser, `(S, *shape)`."""
        return self.draw(
            Unguided(self.operator, self.posterior, levels, transition=transition, num_samples=num_samples)
        )

    def distance(self, samples: Tensor, references: int = 5) -> float:
        """Sliced Wasserstein distance to as many exact samples, its mean over independent sets of them."""
        sets = [self.exact(len(samples), batch) for batch in range(references)]
        return sum(sliced_wasserstein(samples, exact) for exact in sets) / references

    def floor(self, count: int, references: int = 5) -> float:
        """The same distance between exact samples: what a perfect sampler scores."""
        pairs = list(combinations([self.exact(count, batch) for batch in range(references)], 2))
        return sum(sliced_wasserstein(first, second) for first, second in pairs) / len(pairs)


def measured(name: str, prior: ExactPrior, operator: Operator, seed: int = 0, images: int = 1) -> Problem:
    """Draw images and measure them.

    Args:
        name: for people.
        prior: the law of the images.
        operator: how they are measured.
        seed: chooses the images and the noise on their measurements; the draws of different seeds are independent.
        images: number of images.
    """
    indices = range(seed * images, (seed + 1) * images)
    truth = prior.sample(NoiseSource(TRUTH, indices))
    return Problem(name, prior, operator, truth, tensor(operator.measure(truth, NoiseSource(MEASUREMENT, indices))))


def gaussian_problem(dimension: int, num_measured: int, seed: int = 0, images: int = 1) -> Problem:
    """A Gaussian with standard deviations from 0.3 to 1.5 along random axes, and a random linear measurement."""
    generator = torch.Generator().manual_seed(seed)
    axes, _ = torch.linalg.qr(torch.randn(dimension, dimension, generator=generator, dtype=torch.float64))
    deviations = torch.linspace(0.3, 1.5, dimension, dtype=torch.float64)
    prior = GaussianPrior(torch.randn(dimension, generator=generator), axes * deviations**2 @ axes.T)
    matrix = torch.randn(num_measured, dimension, generator=generator)
    return measured(f"Gaussian, {dimension}", prior, MatrixOperator(matrix, noise_std=0.5), seed, images)


def mixture_problem(dimension: int, num_measured: int, seed: int = 0, images: int = 1) -> Problem:
    """The mixture of Cardoso et al., MCGdiff, 2023: 25 unit Gaussians on a grid of spacing 8, a random measurement.

    The means are (8i, 8j, 8i, 8j, ...) for i, j in -2 .. 2, so their norm grows to 16 sqrt(dimension): the noise must
    start at several times that.
    """
    generator = torch.Generator().manual_seed(seed)
    grid = [[8.0 * i, 8.0 * j] * (dimension // 2) for i, j in product(range(-2, 3), repeat=2)]
    weights = torch.randn(len(grid), generator=generator).square()
    prior = GaussianMixturePrior(weights, torch.tensor(grid), torch.eye(dimension))
    u, _, v = torch.linalg.svd(torch.randn(num_measured, dimension, generator=generator), full_matrices=False)
    s = torch.rand(num_measured, generator=generator).sort(descending=True).values
    noise_std = float(torch.rand((), generator=generator) * s[0])
    return measured(f"mixture, {dimension}", prior, MatrixOperator(u * s @ v, noise_std=noise_std), seed, images)


def atom_problems(seed: int = 0, images: int = 1) -> list[Problem]:
    """One of 16 images of 8 x 8 random pixels in [-1, 1], `(1, 8, 8)`, measured in four ways.

        inpainting      the first quarter of the pixels
        phase           in the convention of Chung et al., DPS, 2023
        HDR             twice the contrast that the range holds
        segmentation    dark, grey or bright, with borders at -1/3 and 1/3

    Noise, or logits that are small, leave several of the images possible.

    Args:
        seed: chooses the images, the measured ones and the noise.
        images: number of images that are measured.
    """
    generator = torch.Generator().manual_seed(seed)
    prior = FiniteAtomPrior(2 * torch.rand(16, 1, 8, 8, generator=generator) - 1)
    operators: dict[str, Operator] = {
        "inpainting": MatrixOperator(torch.eye(64)[:16], 1.2, shape=(1, 8, 8)),
        "phase": PhaseRetrieval(oversample=2.0, noise_std=1.5),
        "HDR": HDR(noise_std=6.0),
        "segmentation": LinearLogits(torch.tensor([[-0.1], [0.0], [0.1]]), torch.tensor([0.0, 0.1 / 3, 0.0])),
    }
    return [measured(f"atoms, {name}", prior, operator, seed, images) for name, operator in operators.items()]


def walk_problem(images: int, seed: int = 0, dimension: int = 64, decibels: float = 10.0) -> Problem:
    """Random walks with Gaussian increments of variance 1/4, seen blurred: Zach, Haouchat, Unser, 2026.

        x_0 = cumsum(u),    Cov[x_0]_ij = min(i, j) / 4,    y = k * x_0 + s n

    The kernel k is Gaussian with 13 taps and a standard deviation of 2 samples, where it does not leave the signal.

    Args:
        images: number of walks that are measured.
        seed: chooses them.
        dimension: length of a walk, at least 13.
        decibels: mean power of the blurred walks over that of the noise.
    """
    steps = torch.arange(1, dimension + 1, dtype=torch.float64)
    covariance = torch.minimum(steps[:, None], steps) / 4
    blur = blurring(dimension)
    power = float((blur @ covariance @ blur.T).trace() / len(blur))
    operator = MatrixOperator(blur, noise_std=(power / 10 ** (decibels / 10)) ** 0.5)
    return measured(f"walk, {dimension}", GaussianPrior(torch.zeros(dimension), covariance), operator, seed, images)


def blurring(dimension: int) -> Tensor:
    """The blur of `walk_problem` as a matrix, `(dimension - 12, dimension)`, in float64."""
    taps = torch.exp(-torch.arange(-6.0, 7.0, dtype=torch.float64).square() / 8)
    blur = torch.zeros(dimension - 12, dimension, dtype=torch.float64)
    for row in range(len(blur)):
        blur[row, row : row + 13] = taps / taps.sum()
    return blur


def small_problems(seed: int = 0) -> list[Problem]:
    """Problems that differ in one thing at a time, the law of the images or the measurement, in float64.

        mixture     five narrow Gaussians in four dimensions
        Gaussian    one Gaussian with the mixture's mean and covariance

        linear      y = A x_0 + s n                        two numbers
        clipped     y = clip(2 A x_0, -1, 1) + s n         as in high dynamic range
        magnitude   y = |A x_0| + s n                      as in phase retrieval

    Args:
        seed: chooses the mixture's means, the matrix and the atoms.
    """
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(COMPONENTS, DIMENSION, generator=generator, dtype=torch.float64)
    matrix = torch.randn(MEASURED, DIMENSION, generator=generator, dtype=torch.float64)
    within = COMPONENT_STD**2 * torch.eye(DIMENSION, dtype=torch.float64)
    weights = means.new_ones(COMPONENTS)
    laws: dict[str, ExactPrior] = {
        "Gaussian": GaussianPrior(means.mean(0), within + torch.cov(means.T, correction=0)),
        "mixture": GaussianMixturePrior(weights, means, within),
    }
    functions: dict[str, Callable[[Tensor], Tensor]] = {"clipped": clipped, "magnitude": torch.abs}
    problems = []
    for law, prior in laws.items():
        problems.append(measured(f"{law}, linear", prior, MatrixOperator(matrix, NOISE_STD), seed))
        atoms = FiniteAtomPrior(prior.sample(NoiseSource(seed, range(ATOMS))))
        for name, function in functions.items():
            problems.append(measured(f"{law}, {name}", atoms, Pointwise(matrix, function, NOISE_STD), seed))
    return problems
