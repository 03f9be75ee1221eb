"""The annealed loop, once for all methods in which a noisy image walks down the noise levels.

    x_t = start(y), which is sigma_max n
    for sigma, sigma_next in levels:
        for visit in 1 .. visits_at(sigma):
            x_t        = x_t + sqrt(sigma^2 - sigma_next^2) n      back up, before every visit but the first
            x_0, shift = guide(x_t, sigma, y)
            mean, std  = transition(x_t, x_0, sigma, sigma_next)
            x_t        = mean + std n - shift
            and with Heun's steps once more from the end of the step, which corrects it

A method writes `guide` alone. It returns a changed `x_0` where it acts on the clean estimate, or a `shift` where it
acts on the noisy image.
"""

import math
import warnings
from abc import abstractmethod
from collections.abc import Iterator
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from dis_lightning.errors import InvalidTypeError, InvalidValueError, require_type
from dis_lightning.images import GREY_LEVEL
from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import Operator
from dis_lightning.priors.base import Denoiser, Kind
from dis_lightning.solvers.base import Solver
from dis_lightning.transitions import AncestralEuler, Heun, Transition
from dis_lightning.types import Guided, Measurement, State

__all__ = ["AnnealedSolver"]


class AnnealedSolver(Solver):
    """A noisy image walks down the noise levels.

    Args:
        operator: what is measured.
        denoiser: the prior.
        levels: the noise levels, e.g. `KarrasLevels(steps=100)`.
        transition: how to go to the next level; ancestral Euler if not given.
        num_samples: number of posterior samples per image.
        seed: the run's seed.

    Raises:
        TypeError: if a part is missing.
        ValueError: if the levels start above what the prior knows, or the prior is known to be of another kind.
    """

    # A method that says None takes a consistency map for it too, as Purohit et al.'s "DPS-CM" does.
    prior_kind: ClassVar[Kind | None] = "posterior mean"

    def __init__(
        self,
        operator: Operator,
        denoiser: Denoiser,
        levels: Levels,
        *,
        transition: Transition | None = None,
        num_samples: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(operator, denoiser, num_samples=num_samples, seed=seed)
        self._take_levels(levels, last=True)
        if levels[-1] > GREY_LEVEL:
            warnings.warn(
                f"The levels of {type(self).__name__} end at {levels[-1]:.4g}, so that its samples keep noise of that "
                f"standard deviation, {levels[-1] / GREY_LEVEL:.0f} grey levels of 255; write a last 0.",
                stacklevel=2,
            )
        require_type(self, Transition | None, transition=transition)
        self.transition = transition or AncestralEuler()

    @abstractmethod
    def guide(self, x_t: Tensor, sigma: float, y: Measurement, noise: NoiseSource) -> Guided:
        """Estimate the clean images and say how the measurement moves the noisy ones.

        Args:
            x_t: noisy images, `(N, *shape)`.
            sigma: their noise level, > 0.
            y: what was measured, one entry per row.
            noise: one stream per row.
        """

    def start(self, y: Measurement, noise: NoiseSource) -> Tensor:
        """Noisy images at the first level, `(N, *shape)`: pure noise, unless a method begins at a first guess."""
        return self.levels[0] * noise.normal((len(noise), *self.denoiser.shape))

    def visits_at(self, sigma: float) -> int:
        """How often the step down from `sigma` is taken, >= 1; more than once is time travel."""
        return 1

    @torch.no_grad()
    def iterate(self, y: Measurement, noise: NoiseSource) -> Iterator[State]:
        """Walk down the noise levels; see the module."""
        x_t = self.start(y, noise)
        steps = len(self.levels) - 1
        for step, (sigma, sigma_next) in enumerate(pairwise(self.levels), start=1):
            for visit in range(self.visits_at(sigma)):
                if visit > 0:
                    x_t = x_t + math.sqrt(sigma**2 - sigma_next**2) * noise.like(x_t)
                start, guided = x_t, self._checked(self.guide(x_t, sigma, y, noise), x_t)
                x_0 = guided.x_0
                x_t, std = self.transition(x_t, x_0, sigma, sigma_next)
                if std > 0:
                    x_t = x_t + std * noise.like(x_t)
                if guided.shift is not None:
                    x_t = x_t - guided.shift
                if isinstance(self.transition, Heun) and sigma_next > 0:
                    end = self._checked(self.guide(x_t, sigma_next, y, noise), x_t)
                    x_t = self.transition.corrected(start, x_0, x_t, end.x_0, sigma, sigma_next)
                    if guided.shift is not None and end.shift is not None:
                        x_t = x_t - (guided.shift + end.shift) / 2
            yield State(x_t, x_0, sigma, step, steps)

    def _checked(self, guided: Guided, x_t: Tensor) -> Guided:
        """Refuse what a solver of one's own gives where it would be broadcast."""
        if not isinstance(guided, Guided):
            raise InvalidTypeError(f"{type(self).__name__}.guide must give a Guided, but gave {type(guided).__name__}.")
        for name, value in zip(Guided._fields, guided, strict=True):
            if value is not None and value.shape != x_t.shape:
                raise InvalidValueError(
                    f"{type(self).__name__}.guide must give {name} in the shape of x_t, {tuple(x_t.shape)}, but gave "
                    f"{tuple(value.shape)}."
                )
        return guided
