"""Noise-space Langevin: a Markov chain over the noise of a consistency model, many posterior samples from one start.

Purohit, Repasky, Lu, Qiu, Xie, Cheng, "Posterior sampling via Langevin dynamics based on generative priors", 2024,
https://arxiv.org/abs/2410.02078, algorithm 1.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError, require_numbers, require_whole
from dis_lightning.kernels import Adam, Kernel, Target, differentiate, walk
from dis_lightning.levels import Levels
from dis_lightning.meters import AcceptanceMeter
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import Operator, require_density
from dis_lightning.priors.base import Denoiser
from dis_lightning.solvers.base import Solver
from dis_lightning.transitions import Renoise
from dis_lightning.types import Draws, Measurement, State

__all__ = ["NoiseSpaceLangevin"]


class NoiseSpaceLangevin(Solver):
    """Sample the noise given the measurement, under a generator that is fixed for the whole chain.

        pi(z) ~ exp(-E(z) - |z|^2 / 2),    E(z) = -log p(y | Phi(z)) = |A(Phi(z)) - y|^2 / (2 noise_std^2)
        Phi(z) = f(sigma_max z, sigma_max)                                       with two levels (one step)
        Phi(z) = f(f(sigma_max z, sigma_max) + sqrt(t^2 - sigma_min^2) n, t)     with three (two steps), and so on

    The inner noise n is drawn once per chain and stays. Adam first descends E from `z ~ N(0, I)`; then the kernel moves
    z, some moves are dropped, and every `thinning`-th image is a sample. Samples come chain by chain.

    With `L` levels but the last, an image costs `L * chains * (1 + warm_start + burn_in)` evaluations of the network
    and as many gradients, and each sample `L * thinning` more; with `HMC` every move after the warm start costs its
    leapfrog steps times as much.

    Where the authors' code differs: its samples begin with the image of the warm start, and its last two are equal; it
    divides the prior's pull by 80^2 (`EulerMaruyama(prior_pull=)`); and all its images share one n.

    Args:
        operator: what is measured, with the noise that is assumed.
        denoiser: the consistency model.
        levels: the noise levels, e.g. `MultistepLevels([0, 39])` for one step, `MultistepLevels([0, 19, 39])` for two.
        kernel: how the chain moves, e.g. `EulerMaruyama(1e-5)`; with `MALA` or `HMC` its law is exact.
        warm_start: number of Adam steps K before the chain.
        learning_rate: Adam's learning rate, in units of z.
        burn_in: number of moves of the chain before those that count.
        thinning: number of moves per sample.
        chains: number of chains per image, each with an own start; a divisor of `num_samples`.
        num_samples: number of posterior samples per image, those of all its chains.
        seed: the run's seed.

    Raises:
        TypeError: if a part is missing.
        ValueError: if the denoiser is known to be no consistency map, a number is out of range, `chains` does not
            divide `num_samples`, or the measurement has no noise: its density does not exist then.
    """

    prior_kind = "consistency map"

    def __init__(
        self,
        operator: Operator,
        denoiser: Denoiser,
        levels: Levels,
        *,
        kernel: Kernel,
        warm_start: int = 800,
        learning_rate: float = 5e-3,
        burn_in: int = 0,
        thinning: int = 1,
        chains: int = 1,
        **common: Any,
    ) -> None:
        super().__init__(operator, denoiser, **common)
        self._take_levels(levels)
        self._require("kernel", kernel, Kernel)
        require_numbers(self, learning_rate=learning_rate)
        require_whole(self, 0, warm_start=warm_start, burn_in=burn_in)
        require_whole(self, 1, thinning=thinning, chains=chains)
        if self.num_samples % chains:
            raise InvalidValueError(
                f"NoiseSpaceLangevin needs chains that divide num_samples={self.num_samples}, but got chains={chains}."
            )
        require_density(self, operator)
        self.renoise = Renoise(denoiser.sigma_min)
        self.kernel = kernel
        self.optimiser = Adam(learning_rate)
        self.warm_start, self.burn_in, self.thinning = warm_start, burn_in, thinning
        self.rows_per_image = chains

    @torch.no_grad()
    def iterate(self, y: Measurement, noise: NoiseSource) -> Iterator[State]:
        """Warm start, then the chain: the noise z is what moves."""
        z = noise.normal((len(noise), *self.denoiser.shape))
        target = self._target([noise.like(z) for _ in self.levels[1:-1]], y)
        point, step, steps = target(z), count(1), self.warm_start + self._moves
        for kernel, moves in ((self.optimiser, self.warm_start), (self.kernel, self._moves)):
            for moved in walk(kernel, point, moves, target, noise):
                point = moved
                yield State(point.z, point.image, self.levels[0], next(step), steps)

    def gather(self, states: Iterator[State]) -> Tensor:
        """Every `thinning`-th image after the burn-in, chain by chain; see `Solver.gather`."""
        begun = self.warm_start + self.burn_in
        images = [state.x_0 for state in states if state.step > begun and (state.step - begun) % self.thinning == 0]
        return torch.stack(images, dim=1).flatten(0, 1)

    def _draw(self, y: Measurement, noise: NoiseSource) -> Draws:
        # Every move is seen here, whatever the thinning; the samples alone cannot tell.
        meter = AcceptanceMeter(self.rows_per_image, self.warm_start)
        self.observers.append(meter)
        try:
            draws = super()._draw(y, noise)
        finally:
            self.observers.remove(meter)
        return draws._replace(acceptance=meter.per_image().cpu())

    @property
    def _moves(self) -> int:
        """Moves of the chain."""
        return self.burn_in + self.num_samples // self.rows_per_image * self.thinning

    def _target(self, inner_noise: list[Tensor], y: Measurement) -> Target:
        def energy(z: Tensor) -> tuple[Tensor, Tensor]:
            first, *inner = self.levels[:-1]
            x_0 = self.denoiser(first * z, first)
            for sigma, n in zip(inner, inner_noise, strict=True):
                mean, std = self.renoise(x_0, x_0, first, sigma)
                x_0 = self.denoiser(mean + std * n, sigma)
            return self.operator.energy(x_0, y), x_0

        return differentiate(energy)
