"""Annealed sequential Monte Carlo in the noise of a consistency map.

Del Moral, Doucet, Jasra, "Sequential Monte Carlo Samplers", JRSS B, 2006; Neal, "Annealed Importance Sampling", 2001;
for the adaptive temperatures Jasra et al., "Inference for Levy-Driven Stochastic Volatility Models via Adaptive
Sequential Monte Carlo", 2011. The space is that of Purohit et al. 2024.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError, require_numbers, require_whole
from dis_lightning.kernels import Point, differentiate, metropolis
from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import Operator
from dis_lightning.priors.base import Denoiser
from dis_lightning.solvers.functional.particles import effective, pick, resample, rows_of, uniforms
from dis_lightning.solvers.particle import ParticleSolver
from dis_lightning.types import Measurement, State, per_row

__all__ = ["NoiseSpaceSMC"]

HALVINGS = 40
"""Of the interval in which the next temperature lies: to the last digit."""
SHORTEST, LONGEST = 1e-4, 2.0
"""Bounds of the step size."""


class NoiseSpaceSMC(ParticleSolver):
    """Particles start as draws of the prior, and the likelihood is turned on little by little.

        pi_k(z) ~ p(y | Phi(z))^beta_k exp(-|z|^2 / 2),    0 = beta_0 < beta_1 < ... < beta_T = 1

    At each of the T stages every image's particles are weighted by `p(y | Phi(z))^(beta_k - beta_(k-1))`, resampled,
    and moved by HMC (MALA with one leapfrog step), which leaves `pi_k` as it is. So modes far apart keep their shares,
    which a single chain that starts in one of them never finds. `beta_k` is the largest that leaves `threshold` of the
    particles worth something, each image for itself; an image that has reached 1 goes on moving. The step size follows
    the share of moves that are accepted, for each image too.

    `T * moves * leapfrog_steps + 1` evaluations and as many gradients per particle. If an image has not reached 1 by
    the last stage it is taken there at once: `effective_particles` of the run, the least number of particles that was
    worth as much as all, tells.

    Args:
        operator: what is measured, with a density.
        denoiser: the consistency model.
        levels: where the noise is, one step: two levels such as `MultistepLevels([0, 39])`.
        particles: P, number of particles per image, at least `num_samples`.
        stages: T, number of temperatures, >= 1.
        moves: HMC moves per stage, >= 1.
        leapfrog_steps: leapfrog steps per move, >= 1.
        step_size: size of a leapfrog step to begin with, > 0.
        acceptance: share of moves that the step size is led to, in (0, 1).
        threshold: share of the particles that a stage may leave, in [0, 1].
        num_samples: number of posterior samples per image, taken from the particles.
        seed: the run's seed.

    Raises:
        ValueError: if the measurement has no density, there are more steps than one, fewer particles than samples, or a
            number is out of range.
    """

    prior_kind = "consistency map"

    def __init__(
        self,
        operator: Operator,
        denoiser: Denoiser,
        levels: Levels,
        *,
        particles: int = 64,
        stages: int = 10,
        moves: int = 1,
        leapfrog_steps: int = 5,
        step_size: float = 0.2,
        acceptance: float = 0.7,
        **common: Any,
    ) -> None:
        super().__init__(operator, denoiser, levels, particles=particles, **common)
        require_whole(self, 1, stages=stages, moves=moves, leapfrog_steps=leapfrog_steps)
        require_numbers(self, step_size=step_size, acceptance=acceptance)
        if not SHORTEST <= step_size <= LONGEST or not 0 < acceptance < 1:
            raise InvalidValueError(
                f"NoiseSpaceSMC needs step_size in [{SHORTEST:g}, {LONGEST:g}] and acceptance in (0, 1), but got "
                f"step_size={step_size} and acceptance={acceptance}."
            )
        if len(levels) != 2:
            raise InvalidValueError(
                f"NoiseSpaceSMC knows the noise of one step, from two levels, but got {len(levels)}: {list(levels)}."
            )
        self.stages, self.moves, self.leapfrog_steps = stages, moves, leapfrog_steps
        self.step_size, self.acceptance = step_size, acceptance

    @torch.no_grad()
    def iterate(self, y: Measurement, noise: NoiseSource) -> Iterator[State]:
        """Turn the likelihood on, stage by stage; see the class."""
        sigma, _ = self.levels

        def energy(z: Tensor) -> tuple[Tensor, Tensor]:
            image = self.denoiser(sigma * z, sigma)
            return self.operator.energy(image, y), image

        self._seen = []
        target, done = differentiate(energy), count(1)
        point = target(noise.normal((len(noise), *self.denoiser.shape)))
        images = len(noise) // self.particles
        beta = torch.zeros(images, dtype=torch.float64, device=point.z.device)
        step = torch.full_like(beta, self.step_size)
        for stage in range(1, self.stages + 1):
            energies = self._known(point)
            after = self._next(beta, energies) if stage < self.stages else torch.ones_like(beta)
            weights = self._gain(beta, after, energies)
            self._seen.append(effective(weights))
            chosen = rows_of(resample(weights, uniforms(noise, self.particles)))
            point, beta = Point(*(part.index_select(0, chosen) for part in point)), after
            for move in range(self.moves):
                point, step = self._moved(point, beta, step, target, noise)
                if stage == self.stages and move == self.moves - 1:
                    chosen = rows_of(pick(torch.zeros_like(energies), noise))
                    point = Point(*(part.index_select(0, chosen) for part in point))
                    # Where nothing has an energy, nothing is a sample.
                    lost = self._known(point).isinf().all(dim=1).repeat_interleave(self.particles)
                    point = point._replace(image=torch.where(per_row(lost, point.image), torch.nan, point.image))
                yield State(point.image, point.image, sigma, next(done), self.stages * self.moves)

    def _moved(self, point: Point, beta: Tensor, step: Tensor, target: Any, noise: NoiseSource) -> tuple[Point, Tensor]:
        """One HMC move under the tempered target, and the step size after it."""
        rows = beta.repeat_interleave(self.particles)
        size = per_row(step.repeat_interleave(self.particles).to(point.z), point.z)
        moved, accepted = metropolis(
            _tempered(point, rows), size, self.leapfrog_steps, lambda z: _tempered(target(z), rows), noise
        )
        share = accepted.double().reshape(-1, self.particles).mean(dim=1)
        step = (step * (share - self.acceptance).exp()).clamp(SHORTEST, LONGEST)
        return _tempered(moved, 1 / rows), step

    def _known(self, point: Point) -> Tensor:
        """Energies by image, `(B, P)`: infinite for particles that diverged."""
        finite = point.energy.isfinite() & point.image.isfinite().flatten(1).all(dim=1)
        return point.energy.double().masked_fill(~finite, torch.inf).reshape(-1, self.particles)

    def _gain(self, beta: Tensor, after: Tensor, energies: Tensor) -> Tensor:
        """Log-weights of going from one temperature to another, `(B, P)`; -inf for particles that diverged."""
        return (-(after - beta)[:, None] * energies).nan_to_num(0.0, neginf=-torch.inf)

    def _next(self, beta: Tensor, energies: Tensor) -> Tensor:
        """The largest temperature that leaves enough particles worth something, for each image, by bisection."""
        low, high = beta, torch.ones_like(beta)
        enough = self.threshold * self.particles
        whole = effective(self._gain(beta, high, energies)) >= enough
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            holds = effective(self._gain(beta, middle, energies)) >= enough
            low, high = torch.where(holds, middle, low), torch.where(holds, high, middle)
        # The first step is never nothing, or its inverse would be infinite.
        return torch.where(whole, torch.ones_like(beta), low.clamp(min=1e-12))


def _tempered(point: Point, beta: Tensor) -> Point:
    """A point of which the energy counts `beta`, `(N,)`."""
    return point._replace(
        energy=beta.to(point.energy) * point.energy, gradient=per_row(beta.to(point.z), point.z) * point.gradient
    )
