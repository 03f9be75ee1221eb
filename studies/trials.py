"""Problems with what a sampler needs to be tried on them, and the numbers that judge its samples.

Each trial says how large its data is, between which noise levels a sampler walks, and how many samples are wanted. The
first of its scores is a distance to the exact posterior; by it strengths and step sizes are tuned.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from dis_lightning.levels import KarrasLevels
from dis_lightning.noise import NoiseSource
from dis_lightning.priors import Denoiser, FiniteAtomPrior
from dis_lightning.solvers import Solver
from studies.problems import Problem, measured
from studies.scores import density_coverage, log_density, moment_errors, moments, total_variation

__all__ = ["UNKNOWN", "AtomTrial", "MeasuredTrial", "PosteriorTrial", "Score", "Trial"]

OTHER_BATCH = 50
"""Batches of exact samples from here on are not those that distances are measured to."""


class Score(NamedTuple):
    """What samples are worth, over several measurements."""

    value: float
    """The mean."""
    error: float = math.nan
    """Its standard error; NaN of a single measurement."""

    @classmethod
    def over(cls, values: Sequence[float]) -> Self:
        """The mean of independent values and its standard error."""
        found = torch.tensor(values, dtype=torch.float64)
        return cls(float(found.mean()), float(found.std()) / math.sqrt(len(found)) if len(found) > 1 else math.nan)


ELSEWHERE = 1000
"""Seeds of images that no problem has, however many images it has."""

UNKNOWN = Score(math.nan)
"""Of samples that are not finite."""


@dataclass(frozen=True)
class Trial(ABC):
    """A problem to try samplers on."""

    problem: Problem
    """What is to be solved."""
    consistency: Denoiser
    """The consistency map of its prior."""
    data_std: float
    """Standard deviation of one value of an image."""
    sigma_max: float
    """First noise level: several times the largest extent of the data."""
    num_samples: int
    """Number of posterior samples per image, S."""
    chains: int
    """Number of chains per image, for samplers that run chains; a divisor of S."""
    chain_evaluations: int
    """Evaluations of the consistency map that a chain may cost."""
    sigma_min: float = 0.002
    """Last noise level above 0, and where the consistency map ends."""
    seed: int = 0
    """The solvers' seed."""
    columns: ClassVar[tuple[str, ...]]
    """Names of the scores."""

    def again(self, seed: int) -> Self:
        """The same law and measurement with other images, other noise on `y` and other draws of the solvers."""
        p = self.problem
        return replace(self, problem=measured(p.name, p.prior, p.operator, ELSEWHERE + seed, len(p.truth)), seed=seed)

    def karras(self, steps: int) -> KarrasLevels:
        """Noise levels between those of the trial."""
        return KarrasLevels(steps, self.sigma_min, self.sigma_max)

    @property
    @abstractmethod
    def oracle(self) -> Denoiser:
        """The exact conditional denoiser, one row per posterior sample."""

    @abstractmethod
    def exact(self) -> Tensor:
        """Exact posterior samples, `(B, S, *shape)`."""

    def draw(self, solver: Solver) -> Tensor:
        """A solver's posterior samples of all images, `(B, S, *shape)`."""
        return solver.solve(self.problem.y, NoiseSource(solver.seed, range(len(self.problem.y))))

    @abstractmethod
    def scores(self, samples: Tensor) -> tuple[Score, ...]:
        """Judge samples: a distance first, then whatever else `columns` names. NaN for samples that are not finite."""


@dataclass(frozen=True)
class MeasuredTrial(Trial):
    """Several measurements of one law, each with a posterior of its own; the scores are their means."""

    @cached_property
    def oracle(self) -> Denoiser:
        """The posteriors' denoisers, each for the rows of its image."""
        return _Each([single.posterior for single in self.problem.singles])

    def exact(self) -> Tensor:
        """See `Trial.exact`."""
        return torch.stack([single.exact(self.num_samples, OTHER_BATCH) for single in self.problem.singles])

    def scores(self, samples: Tensor) -> tuple[Score, ...]:
        """See `Trial.scores`."""
        if not samples.isfinite().all():
            return (UNKNOWN,) * len(self.columns)
        judged = [self.judge(single, x) for single, x in zip(self.problem.singles, samples, strict=True)]
        return tuple(Score.over(values) for values in zip(*judged, strict=True))

    @abstractmethod
    def judge(self, single: Problem, samples: Tensor) -> tuple[float, ...]:
        """Judge the samples of one image, `(S, *shape)`."""


@dataclass(frozen=True)
class PosteriorTrial(MeasuredTrial):
    """Posteriors with a density."""

    columns: ClassVar[tuple[str, ...]] = ("SW", "mean", "cov", "cover")

    def judge(self, single: Problem, samples: Tensor) -> tuple[float, ...]:
        """Distance, errors of the moments, and coverage; see `MeasuredTrial.judge`."""
        law = single.posterior
        densities, truths = (log_density(law, x) for x in (samples, single.exact(2000, OTHER_BATCH + 1)))
        covered = density_coverage(densities.expand(len(truths), -1), truths)
        return (single.distance(samples), *moment_errors(samples, *moments(law)), covered)


@dataclass(frozen=True)
class AtomTrial(MeasuredTrial):
    """Posteriors of finitely many images."""

    columns: ClassVar[tuple[str, ...]] = ("TV",)

    def judge(self, single: Problem, samples: Tensor) -> tuple[float, ...]:
        """Total variation; see `MeasuredTrial.judge`."""
        posterior = single.posterior
        assert isinstance(posterior, FiniteAtomPrior)
        return (total_variation(samples, posterior.atoms, posterior.weights),)


class _Each(Denoiser):
    """A denoiser for each of B images, and as many rows for each."""

    def __init__(self, priors: Sequence[Denoiser]) -> None:
        super().__init__()
        self.shape = priors[0].shape
        self.priors = nn.ModuleList(priors)

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        """See `Denoiser.forward`."""
        images = len(self.priors)
        levels = sigma.chunk(images) if isinstance(sigma, Tensor) and sigma.ndim else [sigma] * images
        parts = zip(self.priors, x_t.chunk(images), levels, strict=True)
        return torch.cat([prior(part, level) for prior, part, level in parts])
