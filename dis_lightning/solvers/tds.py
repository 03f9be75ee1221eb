"""TDS: the twisted diffusion sampler.

Wu, Trippe, Naesseth, Blei, Cunningham, "Practical and Asymptotically Exact Conditional Sampling in Diffusion Models",
NeurIPS 2023, https://arxiv.org/abs/2306.17775, algorithm 1.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError, require_type
from dis_lightning.gradients import gradient
from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import GaussianOperator, LinearOperator, Operator
from dis_lightning.posteriors import PosteriorSpread, Spread
from dis_lightning.priors.base import Denoiser
from dis_lightning.solvers.functional.particles import effective, pick, resample, rows_of, uniforms
from dis_lightning.solvers.particle import ParticleSolver
from dis_lightning.transitions import AncestralEuler
from dis_lightning.types import Measurement, State, dot

__all__ = ["TDS"]


class TDS(ParticleSolver):
    """Many guided walks side by side, weighted for what guidance did to them: exact as their number grows.

    Particles of an image go down the levels by guided steps, with a twist `log p'(y | x_t)` in place of the likelihood

        x_0' = D + sigma^2 grad log p'(y | x_t),    x_next ~ q = transition(x_t, x_0')
        log W += log p(x_next | x_t) - log q(x_next | x_t) + log p'(y | x_next) - log p'(y | x_t)

    with `p = transition(x_t, D)`, and at the end `log p(y | x_0)` in place of the last twist. So whatever the twist,
    the weighted particles tend to the posterior of the sampler without guidance. Where fewer than `threshold` of them
    are worth anything, they are resampled.

    The twist takes `x_0` given `x_t` for Gaussian with standard deviation r: of a linear measurement
    `y ~ N(A D, r^2 A A^T + noise_std^2 I)`; of another with Gaussian noise the energy at D, widened as if A kept
    lengths; of any other the energy at D.

    One network evaluation and one gradient per step and particle. The particles of a run say how well it went:
    `effective_particles`, the least number that was worth as much. In many dimensions it falls to 1, and TDS is one
    guided walk: it is a reference for small problems.

    Args:
        operator: what is measured, with a density.
        denoiser: the prior.
        levels: the noise levels; more of them leave less to the weights.
        particles: P, number of particles per image, at least `num_samples`.
        spread: r; `PosteriorSpread(1.0)` if not given: give it the data's standard deviation.
        threshold: share of the particles below which they are resampled, in [0, 1].
        num_samples: number of posterior samples per image, taken from the particles.
        seed: the run's seed.

    Raises:
        ValueError: if the measurement has no density, there are fewer particles than samples, or a number is out of
            range.
    """

    prior_kind = "posterior mean"

    def __init__(
        self,
        operator: Operator,
        denoiser: Denoiser,
        levels: Levels,
        *,
        particles: int = 16,
        spread: Spread | None = None,
        **common: Any,
    ) -> None:
        super().__init__(operator, denoiser, levels, particles=particles, **common)
        if levels[-1] != 0:
            raise InvalidValueError(f"TDS weighs clean images: its levels must end in 0, but end in {levels[-1]}.")
        self.transition = AncestralEuler()
        require_type(self, Spread | None, spread=spread)
        self.spread = spread or PosteriorSpread()

    @torch.no_grad()
    def iterate(self, y: Measurement, noise: NoiseSource) -> Iterator[State]:
        """Walk down the noise levels, all particles of an image side by side; see the class."""
        self._seen = []
        now = self._twisted(self.levels[0] * noise.normal((len(noise), *self.denoiser.shape)), self.levels[0], y)
        weights = now.twist
        steps = len(self.levels) - 1
        for step, (sigma, sigma_next) in enumerate(pairwise(self.levels), start=1):
            now, weights = self._renewed(now, weights, noise)
            if sigma_next == 0:
                break
            mean, std = self.transition(now.x_t, now.x_0, sigma, sigma_next)
            guided, _ = self.transition(now.x_t, now.x_0 + sigma**2 * now.slope, sigma, sigma_next)
            fresh = noise.like(mean)
            after = self._twisted(guided + std * fresh, sigma_next, y)
            # log p - log q, of two Gaussians of one width.
            odds = (_square(fresh) - _square((after.x_t - mean) / std)) / 2
            weights = weights + odds + after.twist - now.twist
            now = after
            yield State(now.x_t, now.x_0, sigma, step, steps)
        weights = self._known(weights - self.operator.energy(now.x_0, y).double() - now.twist, now.x_0)
        self._seen.append(effective(weights))
        chosen = rows_of(pick(weights, noise))
        samples = now.x_0.index_select(0, chosen)
        yield State(samples, samples, sigma, steps, steps)

    def _renewed(self, now: "_Twisted", weights: Tensor, noise: NoiseSource) -> tuple["_Twisted", Tensor]:
        """Resample the particles of the images that need it."""
        known = self._known(weights, now.x_t)
        worth = effective(known)
        self._seen.append(worth)
        uniform = uniforms(noise, self.particles)
        due = (worth < self.threshold * self.particles)[:, None]
        places = torch.arange(self.particles, device=known.device).expand_as(known)
        chosen = rows_of(torch.where(due, resample(known, uniform), places))
        flat = torch.where(due, torch.zeros_like(known), known).flatten()
        return _Twisted(*(part.index_select(0, chosen) for part in now)), flat

    def _known(self, weights: Tensor, x: Tensor) -> Tensor:
        """Log-weights by image, `(B, P)`: -inf for particles that diverged."""
        finite = weights.isfinite() & x.isfinite().flatten(1).all(dim=1)
        return weights.masked_fill(~finite, -torch.inf).reshape(-1, self.particles)

    def _twisted(self, x_t: Tensor, sigma: float, y: Measurement) -> "_Twisted":
        def twist(x_t: Tensor) -> tuple[Tensor, Tensor]:
            x_0 = self.denoiser(x_t, sigma)
            return self._log_twist(x_0, self.spread(sigma) ** 2, y), x_0

        value, slope, x_0 = gradient(twist, x_t)
        return _Twisted(x_t, x_0, slope, value.double())

    def _log_twist(self, x_0: Tensor, variance: float, y: Measurement) -> Tensor:
        operator = self.operator
        if isinstance(operator, LinearOperator):
            return _linear_twist(operator, x_0, variance, y)
        energy = operator.energy(x_0, y)
        if isinstance(operator, GaussianOperator):
            return -energy / (1 + variance / operator.noise_std**2)
        return -energy


class _Twisted(NamedTuple):
    """Particles, and what one evaluation and one gradient have given."""

    x_t: Tensor
    """Noisy images, `(N, *shape)`."""
    x_0: Tensor
    """Posterior means, same shape."""
    slope: Tensor
    """`grad log p'(y | x_t)`, same shape."""
    twist: Tensor
    """`log p'(y | x_t)` up to a constant per image and level, `(N,)`."""


def _linear_twist(operator: LinearOperator, x_0: Tensor, variance: float, y: Measurement) -> Tensor:
    """`-e^T (r^2 A A^T + s^2)^-1 e / 2` of `e = A x_0 - y`, by the damped pseudo-inverse, as sums of squares.

    With `p = A^T (A A^T + d)^-1 e` and `d = s^2 / r^2` it is `-(|p|^2 + |A p - e|^2 / d) / (2 r^2)`, and its gradient
    `-p / r^2`. The product of e with `A p - e` is as much, but a difference of nearly equal numbers where d is small.
    """
    damping = operator.noise_std**2 / variance
    with torch.no_grad():
        off = operator.residual(x_0, y)
        p = operator.pseudo_inverse(off, damping=damping)
        value = -(_square(p) + _square(operator.linear(p, y) - off) / damping) / (2 * variance)
    slope = -dot(p, x_0) / variance
    return value + (slope - slope.detach())  # whose size would take digits of the value


def _square(x: Tensor) -> Tensor:
    return x.double().square().flatten(1).sum(dim=1)
