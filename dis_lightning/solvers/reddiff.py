"""RED-diff: a variational perspective on solving inverse problems with diffusion models.

Mardani, Song, Kautz, Vahdat, "A Variational Perspective on Solving Inverse Problems with Diffusion Models", ICLR 2024,
https://arxiv.org/abs/2305.04391, algorithm 1, in the variance-exploding form.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from dis_lightning.errors import require_positive
from dis_lightning.gradients import gradient
from dis_lightning.kernels import Adam
from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import GaussianOperator, Operator
from dis_lightning.priors.base import Denoiser
from dis_lightning.solvers.base import Solver
from dis_lightning.solvers.functional.proximity import first_guess
from dis_lightning.types import Measurement, State

__all__ = ["REDDiff"]


class REDDiff(Solver):
    """Descend the misfit of one clean image, which the denoiser pulls towards images as it sees them at every level.

        x   = a first guess
        for sigma in levels:
            g = A'(x)^T (A(x) - y) / M + lambda (x - D(x + sigma n, sigma)) / N
            x = Adam(x, g)

    with M numbers measured and N in the image. The second part is the paper's `w (eps(x_t) - n)` with its weight
    `w = lambda sigma`, the inverse root of the signal-to-noise ratio; the denoiser is not differentiated. What moves is
    a clean image, so that this is no walk down the levels: they order how coarse the pull is. It looks for a mode:
    samples differ by their noise alone, not as posterior samples do. Operators that are not Gaussian have their
    distance as misfit. The first guess is `A^+ y` where A is linear, hidden pixels filled from their neighbours; of
    others see `proximity.first_guess`.

    One network evaluation per step and sample, no network gradient.

    Args:
        operator: what is measured; it needs no noise.
        denoiser: the prior, a posterior mean.
        levels: the noise levels, each visited once but the last; the paper takes 1000 (and 100) of DDPM.
        weight: λ, > 0; the authors' code has 0.25.
        learning_rate: Adam's, in units of the image, > 0; the authors' code has 0.1, with betas 0.9 and 0.99.
        num_samples: number of results per image.
        seed: the run's seed.

    Raises:
        TypeError: if a part is missing.
        ValueError: if an argument is out of range, or the prior is known to be a consistency map.
    """

    prior_kind = "posterior mean"

    def __init__(
        self,
        operator: Operator,
        denoiser: Denoiser,
        levels: Levels,
        *,
        weight: float = 0.25,
        learning_rate: float = 0.1,
        **common: Any,
    ) -> None:
        super().__init__(operator, denoiser, **common)
        self._take_levels(levels)
        require_positive(self, weight=weight, learning_rate=learning_rate)
        self.weight = weight
        self.optimiser = Adam(learning_rate, betas=(0.9, 0.99))

    @torch.no_grad()
    def iterate(self, y: Measurement, noise: NoiseSource) -> Iterator[State]:
        """Descend, one step per level; see the class."""
        x = first_guess(self.operator, y, self.denoiser.shape, noise)
        state, steps = self.optimiser.begin(x), len(self.levels) - 1
        for step, sigma in enumerate(self.levels[:-1], start=1):
            x_0 = self.denoiser(x + sigma * noise.like(x), sigma)
            _, slope, _ = gradient(lambda x: (self._misfit(x, y), x), x)
            pull = self.weight * (x - x_0) / x[0].numel()
            x, state = self.optimiser.descend(x, slope + pull, state)
            yield State(x, x_0, sigma, step, steps)

    def _misfit(self, x: Tensor, y: Measurement) -> Tensor:
        if isinstance(self.operator, GaussianOperator):
            return self.operator.residual(x, y).flatten(1).square().mean(dim=1) / 2
        return self.operator.distance(x, y)
