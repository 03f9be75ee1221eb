"""Problems with what a sampler needs to be tried on them, and the numbers that judge its samples.

Each trial says how large its data is, between which noise levels a sampler walks, and how many samples are wanted. The
first of its scores is a distance to the exact posterior; by it strengths and step sizes are tuned.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from torch import Tensor

from dis_lightning.levels import KarrasLevels
from dis_lightning.priors import Denoiser, ExactPrior, FiniteAtomPrior
from dis_lightning.solvers import Solver
from studies.problems import Problem, measured
from studies.scores import density_coverage, log_density, moment_errors, moments, total_variation

__all__ = ["AtomTrial", "PosteriorTrial", "Trial"]

OTHER_BATCH = 50
"""Batches of exact samples from here on are not those that distances are measured to."""


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
        return replace(self, problem=measured(p.name, p.prior, p.operator, seed, len(p.truth)), seed=seed)

    def karras(self, steps: int) -> KarrasLevels:
        """Noise levels between those of the trial."""
        return KarrasLevels(steps, self.sigma_min, self.sigma_max)

    @property
    @abstractmethod
    def oracle(self) -> Denoiser:
        """The exact conditional denoiser, one row per posterior sample."""

    @abstractmethod
    def exact(self) -> Tensor:
        """Exact posterior samples, as `draw` gives them."""

    @abstractmethod
    def draw(self, solver: Solver) -> Tensor:
        """A solver's posterior samples, `(S, *shape)` or, with B images, `(B, S, *shape)`."""

    @abstractmethod
    def scores(self, samples: Tensor) -> tuple[float, ...]:
        """Judge samples: a distance first, then whatever else `columns` names. NaN for samples that are not finite."""


@dataclass(frozen=True)
class _SingleTrial(Trial):
    """One measurement of one image."""

    @property
    def oracle(self) -> ExactPrior:
        """The posterior's denoiser."""
        return self.problem.posterior

    def exact(self) -> Tensor:
        """See `Trial.exact`."""
        return self.problem.exact(self.num_samples, OTHER_BATCH)

    def draw(self, solver: Solver) -> Tensor:
        """See `Trial.draw`."""
        return self.problem.draw(solver)


@dataclass(frozen=True)
class PosteriorTrial(_SingleTrial):
    """A posterior with a density."""

    columns: ClassVar[tuple[str, ...]] = ("SW", "mean", "cov", "cover")

    def scores(self, samples: Tensor) -> tuple[float, ...]:
        """Distance, errors of the moments, and coverage; see `Trial.scores`."""
        if not samples.isfinite().all():
            return (math.nan,) * len(self.columns)
        law = self.problem.posterior
        densities, truths = (log_density(law, x) for x in (samples, self.problem.exact(2000, OTHER_BATCH + 1)))
        covered = density_coverage(densities.expand(len(truths), -1), truths)
        return (self.problem.distance(samples), *moment_errors(samples, *moments(law)), covered)


@dataclass(frozen=True)
class AtomTrial(_SingleTrial):
    """A posterior of finitely many images."""

    columns: ClassVar[tuple[str, ...]] = ("TV",)

    def scores(self, samples: Tensor) -> tuple[float, ...]:
        """Total variation; see `Trial.scores`."""
        if not samples.isfinite().all():
            return (math.nan,)
        posterior = self.problem.posterior
        assert isinstance(posterior, FiniteAtomPrior)
        return (total_variation(samples, posterior.atoms, posterior.weights),)
