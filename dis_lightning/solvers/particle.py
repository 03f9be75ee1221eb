"""What solvers with weighted particles share: several guesses at an image side by side, of which samples are taken."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError, require_share, require_whole
from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import Operator, require_density
from dis_lightning.priors.base import Denoiser
from dis_lightning.solvers.base import Solver
from dis_lightning.solvers.functional.particles import first_samples
from dis_lightning.types import Draws, Measurement, State

__all__ = ["ParticleSolver"]


class ParticleSolver(Solver):
    """Particles of an image, a row each, that are weighted, resampled and moved; the first that are left are samples.

    A subclass puts into `_seen`, which it empties at the start, how many of each image's particles were worth anything
    whenever it knows.

    Args:
        operator: what is measured, with a density.
        denoiser: the prior.
        levels: the noise levels.
        particles: P, number of particles per image, at least `num_samples`.
        threshold: share of the particles below which they are resampled, in [0, 1].
        num_samples: number of posterior samples per image, taken from the particles.
        seed: the run's seed.

    Raises:
        ValueError: if the measurement has no density, there are fewer particles than samples, or a number is out of
            range.
    """

    def __init__(
        self,
        operator: Operator,
        denoiser: Denoiser,
        levels: Levels,
        *,
        particles: int,
        threshold: float = 0.5,
        **common: Any,
    ) -> None:
        super().__init__(operator, denoiser, **common)
        self._take_levels(levels)
        require_density(self, operator)
        require_whole(self, 1, particles=particles)
        require_share(self, threshold=threshold)
        if particles < self.num_samples:
            raise InvalidValueError(
                f"{type(self).__name__} takes its samples from its particles: it needs particles >= num_samples, but "
                f"got particles={particles} and num_samples={self.num_samples}."
            )
        self.rows_per_image = self.particles = particles
        self.threshold = threshold
        self._seen: list[Tensor] = []

    def gather(self, states: Iterator[State]) -> Tensor:
        """The first of the particles that are left in the end; see `Solver.gather`."""
        return first_samples(super().gather(states), self.particles, self.num_samples)

    def _draw(self, y: Measurement, noise: NoiseSource) -> Draws:
        draws = super()._draw(y, noise)
        return draws._replace(effective_particles=torch.stack(self._seen).amin(dim=0).cpu())
