"""The noise-space loop, once for all methods in which the noise of a consistency model moves.

Multistep consistency sampling (Song et al., "Consistency Models", 2023, algorithm 1) makes an image of noise level by
level:

    x_t = sigma_max z
    for sigma, sigma_next in levels:
        x_0 = f(x_t, sigma)
        x_t = x_0 + sqrt(sigma_next^2 - sigma_min^2) z          with new z

Given the last `x_0`, each level is a generator `z -> x_0`. A method writes `moves` alone: what it does with z, or with
the image, before the loop goes on to the next level.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from itertools import count, pairwise

import torch
from torch import Tensor

from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import Operator
from dis_lightning.priors.base import Denoiser
from dis_lightning.solvers.base import Solver
from dis_lightning.transitions import Renoise
from dis_lightning.types import Measurement, State

__all__ = ["Generator", "NoiseSpaceSolver"]

Generator = Callable[[Tensor], Tensor]
"""Makes images `(N, *shape)` of standard normal noise of the same shape."""


class NoiseSpaceSolver(Solver):
    """The noise of a consistency model moves.

    Args:
        operator: what is measured.
        denoiser: the consistency model: these solvers know no other network, so it is their prior.
        levels: the noise levels, e.g. `MultistepLevels([0, 17, 39])`. The last is where the images end: the model is
            evaluated at all others.
        num_samples: number of posterior samples per image.
        seed: the run's seed.

    Raises:
        TypeError: if a part is missing.
        ValueError: if the denoiser is known to be no consistency map or not to know the levels.
    """

    prior_kind = "consistency map"

    def __init__(
        self,
        operator: Operator,
        denoiser: Denoiser,
        levels: Levels,
        *,
        num_samples: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(operator, denoiser, num_samples=num_samples, seed=seed)
        self._take_levels(levels)
        self.renoise = Renoise(denoiser.sigma_min)

    @property
    @abstractmethod
    def length(self) -> int:
        """Number of moves in all."""

    @abstractmethod
    def moves(
        self, level: int, generator: Generator, z: Tensor, y: Measurement, noise: NoiseSource
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Move under the generator of one level.

        Args:
            level: number of the level, from 0.
            generator: makes images of noise at this level; differentiable.
            z: fresh noise, `(N, *shape)`.
            y: what was measured, one entry per row.
            noise: one stream per row.

        Yields:
            At least once: the moving variable `x_t`, which is the posterior samples in the end; and the images `x_0`,
            the last of which go on to the next level. Each `(N, *shape)`.
        """

    @torch.no_grad()
    def iterate(self, y: Measurement, noise: NoiseSource) -> Iterator[State]:
        """Walk down the noise levels; see the module."""
        anchor: Tensor | float = 0.0
        std, steps = self.levels[0], count(1)
        for level, (sigma, sigma_next) in enumerate(pairwise(self.levels)):
            z = noise.normal((len(noise), *self.denoiser.shape))
            generator = self._generator(anchor, std, sigma)
            for x_t, x_0 in self.moves(level, generator, z, y, noise):
                yield State(x_t, x_0, sigma, next(steps), self.length)
            anchor, std = self.renoise(x_t, x_0, sigma, sigma_next)

    def _generator(self, anchor: Tensor | float, std: float, sigma: float) -> Generator:
        return lambda z: self.denoiser(anchor + std * z, sigma)
