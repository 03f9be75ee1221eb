"""Inverse problems whose posterior is known exactly, and how far samples are from it.

Every problem is one measurement `y` of one clean image under a prior in closed form. Its posterior is again a prior in
closed form, and its denoiser is the exact conditional denoiser: an unguided sampler that is given it must draw from the
posterior. What such a sampler misses is the sampler's error; what a guided one misses beyond that is the guidance's.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product

import torch
from torch import Tensor
from torch.nn import functional as F

from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import GaussianOperator, MatrixOperator, Operator
from dis_lightning.priors import ExactPrior, FiniteAtomPrior, GaussianMixturePrior, GaussianPrior
from dis_lightning.solvers import Solver, Unguided
from dis_lightning.transitions import Transition

__all__ = [
    "HDR",
    "FirstQuarter",
    "PhaseRetrieval",
    "Problem",
    "atom_problem",
    "coverage",
    "gaussian_problem",
    "mixture_problem",
    "sliced_wasserstein",
    "total_variation",
]

TRUTH, MEASUREMENT, EXACT_SAMPLES = 10_000, 20_000, 30_000
"""Seeds of the parts of a problem; the solvers' own is 0, so that no stream is used twice."""


@dataclass(frozen=True)
class Problem:
    """A measurement of an image from an exact prior."""

    prior: ExactPrior
    operator: Operator
    y: Tensor

    @cached_property
    def posterior(self) -> ExactPrior:
        """The exact posterior; its denoiser is the exact conditional denoiser."""
        return self.prior.posterior(self.operator, self.y)

    def exact(self, count: int, batch: int = 0) -> Tensor:
        """Exact posterior samples, `(count, *shape)`; another `batch` gives independent ones."""
        return self.posterior.sample(NoiseSource(EXACT_SAMPLES, [batch]).samples(count))

    def draw(self, solver: Solver) -> Tensor:
        """The solver's posterior samples, `(S, *shape)`."""
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


def measured(prior: ExactPrior, operator: Operator, seed: int) -> Problem:
    truth = prior.sample(NoiseSource(TRUTH, [seed]))
    return Problem(prior, operator, operator.measure(truth, NoiseSource(MEASUREMENT, [seed])))


def gaussian_problem(dimension: int, num_measured: int, seed: int = 0) -> Problem:
    """A Gaussian with standard deviations from 0.3 to 1.5 along random axes, and a random linear measurement."""
    generator = torch.Generator().manual_seed(seed)
    axes, _ = torch.linalg.qr(torch.randn(dimension, dimension, generator=generator, dtype=torch.float64))
    deviations = torch.linspace(0.3, 1.5, dimension, dtype=torch.float64)
    prior = GaussianPrior(torch.randn(dimension, generator=generator), axes * deviations**2 @ axes.T)
    matrix = torch.randn(num_measured, dimension, generator=generator)
    return measured(prior, MatrixOperator(matrix, noise_std=0.5), seed)


def mixture_problem(dimension: int, num_measured: int, seed: int = 0) -> Problem:
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
    return measured(prior, MatrixOperator(u * s @ v, noise_std=noise_std), seed)


def atom_problem(operator: Operator, seed: int = 0) -> Problem:
    """One of 16 images of 8 x 8 random pixels in [-1, 1], measured by any operator."""
    generator = torch.Generator().manual_seed(seed)
    return measured(FiniteAtomPrior(2 * torch.rand(16, 1, 8, 8, generator=generator) - 1), operator, seed)


class FirstQuarter(GaussianOperator):
    """The upper two of eight rows."""

    def forward(self, x_0: Tensor) -> Tensor:
        return x_0[..., :2, :]


class PhaseRetrieval(GaussianOperator):
    """Magnitudes of the Fourier transform of the image with a margin of 4 zeros."""

    def forward(self, x_0: Tensor) -> Tensor:
        return torch.fft.fft2(F.pad(x_0, (4, 4, 4, 4)), norm="ortho").abs()


class HDR(GaussianOperator):
    """Twice the contrast, cut at the ends of the range."""

    def forward(self, x_0: Tensor) -> Tensor:
        return (2 * x_0).clamp(-1, 1)


def sliced_wasserstein(first: Tensor, second: Tensor, projections: int = 200) -> float:
    """Wasserstein-1 distance of two sets of equally many samples, its mean over random directions.

    In one dimension the best transport pairs the sorted samples.
    """
    generator = torch.Generator().manual_seed(0)
    directions = F.normalize(torch.randn(projections, first[0].numel(), generator=generator))
    sorted_first, sorted_second = ((samples.flatten(1) @ directions.T).sort(dim=0)[0] for samples in (first, second))
    return float((sorted_first - sorted_second).abs().mean())


def total_variation(samples: Tensor, atoms: Tensor, probabilities: Tensor) -> float:
    """Total variation between the probabilities of the atoms and how often a sample lies nearest to each."""
    nearest = torch.cdist(samples.flatten(1), atoms.flatten(1)).argmin(dim=1)
    shares = torch.bincount(nearest, minlength=len(atoms)) / len(samples)
    return float((shares - probabilities).abs().sum() / 2)


def coverage(samples: Tensor, truths: Tensor, level: float = 0.9) -> float:
    """Share of the truths in the ellipsoid, in the shape of the samples, that holds the share `level` of them.

    For truths from the posterior this is `level` if the samples are too. It is less if they are too narrow or far off.
    """
    samples, truths = samples.flatten(1).double(), truths.flatten(1).double()
    precision = torch.linalg.inv(torch.cov(samples.T).reshape(len(samples[0]), -1))

    def depth(x: Tensor) -> Tensor:
        return torch.einsum("nd, de, ne -> n", x - samples.mean(0), precision, x - samples.mean(0))

    return float((depth(truths) <= torch.quantile(depth(samples), level)).double().mean())
