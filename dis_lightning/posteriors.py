"""Posterior models: what is believed about the clean image given a noisy one.

The papers differ in where they compare the measurement with the estimate of the clean image: at the posterior mean, at
draws around it, or at a consistency sample.

    point          x_0^(1) = D(x_t, sigma)
    Gaussian       x_0^(m) = D(x_t, sigma) + r(sigma) n_m,        m = 1 .. M
    consistency    x_0^(1) = f(x_t, sigma) + r(sigma) n
    flow           x_0^(1) = the end of the probability flow from x_t

`D` is the posterior mean, `f` a consistency map, `r` the spread and `n` standard normal. Each model is a callable
`(x_t, sigma, noise) -> Posterior`.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from dis_lightning.described import Described
from dis_lightning.errors import require_not_negative, require_positive, require_whole
from dis_lightning.levels import karras
from dis_lightning.noise import NoiseSource
from dis_lightning.priors.base import Denoiser, require_kind
from dis_lightning.transitions import ProbabilityFlow
from dis_lightning.types import Posterior

__all__ = [
    "ConsistencyPosterior",
    "FlatSpread",
    "FlowPosterior",
    "GaussianPosterior",
    "PointPosterior",
    "PosteriorModel",
    "PosteriorSpread",
    "Spread",
    "around",
]


class Spread(Described, ABC):
    """A rule for the standard deviation of the draws around an estimate."""

    @abstractmethod
    def __call__(self, sigma: float) -> float:
        """Give the standard deviation, >= 0, at noise level `sigma`, > 0."""


@dataclass(frozen=True)
class FlatSpread(Spread):
    """`r(sigma) = sigma`: the standard deviation of `x_0` given `x_t` where all images are as likely.

    Far too wide at levels above the size of the data; the rule of plug-and-play methods (Zhu et al., DiffPIR, 2023) and
    of the code of Zhang et al., DAPS, 2025.
    """

    def __call__(self, sigma: float) -> float:
        """See the class."""
        return sigma


@dataclass(frozen=True)
class PosteriorSpread(Spread):
    """The standard deviation of `x_0` given `x_t` for data with standard deviation s in every direction.

        r(sigma) = s sigma / sqrt(s^2 + sigma^2)

    With s = 1 this is `sigma / sqrt(1 + sigma^2)`, the rule of Song et al., LGD, 2023, that Purohit et al. 2024 use.

    Args:
        data_std: s, finite and > 0.

    Raises:
        ValueError: if `data_std` is out of range.
    """

    data_std: float = 1.0

    def __post_init__(self) -> None:
        require_positive(self, data_std=self.data_std)

    def __call__(self, sigma: float) -> float:
        """See the class."""
        return self.data_std * sigma / math.hypot(self.data_std, sigma)


class PosteriorModel(Described, ABC):
    """A law of the clean image given the noisy image."""

    @abstractmethod
    def __call__(self, x_t: Tensor, sigma: float, noise: NoiseSource) -> Posterior:
        """Give the posterior of the clean images.

        Args:
            x_t: noisy images, `(N, *shape)`.
            sigma: their noise level, > 0.
            noise: one stream per row of `x_t`.

        Returns:
            Mean `(N, *shape)` and samples `(M, N, *shape)`, differentiable with respect to `x_t` where the method is.
        """


@dataclass(frozen=True)
class PointPosterior(PosteriorModel):
    """All belief at the posterior mean: `x_0 = D(x_t, sigma)` (Chung et al., DPS, 2023)."""

    denoiser: Denoiser

    def __call__(self, x_t: Tensor, sigma: float, noise: NoiseSource) -> Posterior:
        """See the class."""
        mean = self.denoiser(x_t, sigma)
        return Posterior(mean, mean.unsqueeze(0))


@dataclass(frozen=True)
class GaussianPosterior(PosteriorModel):
    """Draws around the posterior mean: `x_0^(m) = D(x_t, sigma) + r(sigma) n_m` (Song et al., LGD, 2023).

    One network evaluation for all draws; the draws of a row come from its own stream.

    Args:
        denoiser: posterior mean.
        spread: r, the same at all levels or a rule; finite and >= 0.
        samples: number of draws per row, M >= 1.

    Raises:
        ValueError: if an argument is out of range.
    """

    denoiser: Denoiser
    spread: float | Spread
    samples: int = 1

    def __post_init__(self) -> None:
        _check_spread(self, self.spread)
        require_whole(self, 1, samples=self.samples)

    def __call__(self, x_t: Tensor, sigma: float, noise: NoiseSource) -> Posterior:
        """See the class."""
        mean = self.denoiser(x_t, sigma)
        return Posterior(mean, around(mean, sigma, self.spread, self.samples, noise))


@dataclass(frozen=True)
class ConsistencyPosterior(PosteriorModel):
    """A consistency sample, with noise where wanted: `x_0 = f(x_t, sigma) + r(sigma) n` (Xu et al. 2024, equation 26).

    The mean is that of the denoiser and carries no gradient: it only steers the transition. One evaluation of each
    network.

    Args:
        denoiser: posterior mean.
        consistency: consistency map f, for images of the same shape.
        spread: r, the same at all levels or a rule; finite and >= 0.

    Raises:
        ValueError: if the spread is out of range, or the consistency map is known to be a posterior mean.
    """

    denoiser: Denoiser
    consistency: Denoiser
    spread: float | Spread = 0.0

    def __post_init__(self) -> None:
        _check_spread(self, self.spread)
        require_kind(self, "consistency", self.consistency, "consistency map")

    def __call__(self, x_t: Tensor, sigma: float, noise: NoiseSource) -> Posterior:
        """See the class."""
        with torch.no_grad():
            mean = self.denoiser(x_t, sigma)
        sample = self.consistency(x_t, sigma)
        return Posterior(mean, around(sample, sigma, self.spread, 1, noise))


@dataclass(frozen=True)
class FlowPosterior(PosteriorModel):
    """The end of the probability flow through `x_t`, by a few Euler steps: a consistency map without its network.

    The levels are those of Karras et al. 2022, equation 5, from `sigma` to `sigma_min`, and a last 0. One step ends at
    the posterior mean. `steps` network evaluations, the mean included; all of them carry the gradient.

    Args:
        denoiser: posterior mean.
        steps: number of steps, at least 1.
        sigma_min: the lowest level at which the denoiser is asked, > 0.

    Raises:
        ValueError: if an argument is out of range, or the denoiser is known to be a consistency map.
    """

    denoiser: Denoiser
    steps: int
    sigma_min: float = 0.002

    def __post_init__(self) -> None:
        require_kind(self, "denoiser", self.denoiser, "posterior mean")
        require_whole(self, 1, steps=self.steps)
        require_positive(self, sigma_min=self.sigma_min)

    def __call__(self, x_t: Tensor, sigma: float, noise: NoiseSource) -> Posterior:
        """See the class."""
        mean = x_0 = self.denoiser(x_t, sigma)
        flow, (first, *rest) = ProbabilityFlow(), pairwise(self._levels(sigma))
        x, _ = flow(x_t, x_0, *first)
        for level, level_next in rest:
            x, _ = flow(x, self.denoiser(x, level), level, level_next)
        return Posterior(mean, x.unsqueeze(0))

    def _levels(self, sigma: float) -> list[float]:
        bottom = min(self.sigma_min, sigma)
        between = [karras(step / (self.steps - 1), bottom, sigma, rho=7.0) for step in range(1, self.steps)]
        return [sigma, *between, 0.0]


def _check_spread(owner: PosteriorModel, spread: float | Spread) -> None:
    if not isinstance(spread, Spread):
        require_not_negative(owner, spread=spread)


def around(centre: Tensor, sigma: float, spread: float | Spread, samples: int, noise: NoiseSource) -> Tensor:
    """Draw `(samples, N, *shape)` around `(N, *shape)`: `centre + r(sigma) n_m`."""
    std = spread(sigma) if isinstance(spread, Spread) else spread
    # Nothing is drawn where nothing is added: the run's other noise is then that of a method without draws.
    if std == 0:
        return centre.expand(samples, *centre.shape)
    return torch.stack([centre + std * noise.like(centre) for _ in range(samples)])
