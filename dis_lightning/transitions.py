"""Transitions: how a noisy image moves from one noise level to the next, given an estimate of the clean image.

A transition is a pure function to the mean and the standard deviation of a Gaussian, so that it can be sampled from
and used as a density.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from dis_lightning.described import Described
from dis_lightning.errors import require_not_negative, require_share

__all__ = ["AncestralEuler", "Heun", "PartialRenoise", "ProbabilityFlow", "Renoise", "Transition"]


class Transition(Described, ABC):
    """Gaussian law of the next noisy image."""

    @abstractmethod
    def __call__(self, x_t: Tensor, x_0: Tensor, sigma: float, sigma_next: float) -> tuple[Tensor, float]:
        """Give mean, with the shape of `x_t`, and standard deviation of the next noisy image.

        Args:
            x_t: noisy images at level `sigma`, `(N, ...)`.
            x_0: estimates of the clean images, same shape.
            sigma: level of `x_t`, > 0.
            sigma_next: level to go to, in [0, sigma).
        """


@dataclass(frozen=True)
class AncestralEuler(Transition):
    """An Euler step to a level below the next one, then noise up to it.

        sigma_up   = eta sigma_next sqrt(sigma^2 - sigma_next^2) / sigma
        sigma_down = sqrt(sigma_next^2 - sigma_up^2)
        mean       = x_t + (sigma_down - sigma) (x_t - x_0) / sigma

    With `eta = 1` this is the ancestral Euler sampler that Xu et al. 2024 and Purohit et al. 2024 use for EDM networks,
    and with `eta = 0` the probability flow.

    Args:
        eta: share of fresh noise, in [0, 1].

    Raises:
        ValueError: if `eta` is out of range.
    """

    eta: float = 1.0

    def __post_init__(self) -> None:
        require_share(self, eta=self.eta)

    def __call__(self, x_t: Tensor, x_0: Tensor, sigma: float, sigma_next: float) -> tuple[Tensor, float]:
        """See the class."""
        sigma_down, sigma_up = self.split(sigma, sigma_next)
        return _euler(x_t, x_0, sigma, sigma_down), sigma_up

    def split(self, sigma: float, sigma_next: float) -> tuple[float, float]:
        """`sigma_down`, the level that the step goes down to, and `sigma_up`, the noise that brings it up again."""
        sigma_up = self.eta * sigma_next * math.sqrt(sigma**2 - sigma_next**2) / sigma
        # Rounding may bring the difference below 0 where sigma_next is next to nothing.
        return math.sqrt(max(sigma_next**2 - sigma_up**2, 0.0)), sigma_up


@dataclass(frozen=True)
class PartialRenoise(Transition):
    """Exchange a share of the noise for fresh noise at every step, however small it is (Zhu et al., DiffPIR, 2023).

        mean = x_0 + sqrt(1 - share) sigma_next (x_t - x_0) / sigma
        std  = sqrt(share) sigma_next

    With a share of 0 this is the probability flow, with 1 `Renoise(0.0)`.

    Args:
        share: variance of the fresh noise as a share of `sigma_next^2`, in [0, 1].

    Raises:
        ValueError: if the share is out of range.
    """

    share: float

    def __post_init__(self) -> None:
        require_share(self, share=self.share)

    def __call__(self, x_t: Tensor, x_0: Tensor, sigma: float, sigma_next: float) -> tuple[Tensor, float]:
        """See the class."""
        return _euler(x_t, x_0, sigma, math.sqrt(1 - self.share) * sigma_next), math.sqrt(self.share) * sigma_next


@dataclass(frozen=True)
class ProbabilityFlow(Transition):
    """A deterministic Euler step of the probability-flow equation `dx / dsigma = (x - x_0) / sigma`."""

    def __call__(self, x_t: Tensor, x_0: Tensor, sigma: float, sigma_next: float) -> tuple[Tensor, float]:
        """See the class."""
        return _euler(x_t, x_0, sigma, sigma_next), 0.0


@dataclass(frozen=True)
class Heun(ProbabilityFlow):
    """A deterministic step of second order of the probability-flow equation, as in Karras et al. 2022, algorithm 1.

        x'     = x_t + (sigma_next - sigma) d,     d  = (x_t - x_0) / sigma,    x_0  = D(x_t, sigma)
        x_next = x_t + (sigma_next - sigma) (d + d') / 2,    d' = (x' - x_0') / sigma_next,    x_0' = D(x', sigma_next)

    Twice the evaluations of an Euler step, but for the last one to 0, and an error that falls with the cube of its
    length in place of the square. A solver is asked anew at `x'`: a changed `x_0` enters as the estimate does, and of
    two shifts their mean is taken.
    """

    def corrected(
        self, x_t: Tensor, x_0: Tensor, x_end: Tensor, x_0_end: Tensor, sigma: float, sigma_next: float
    ) -> Tensor:
        """The step after its correction.

        Args:
            x_t: noisy images at level `sigma`.
            x_0: estimates there.
            x_end: where the Euler step ended.
            x_0_end: estimates there.
            sigma: level of `x_t`, > 0.
            sigma_next: level of `x_end`, in (0, sigma).
        """
        slope = (x_t - x_0) / sigma + (x_end - x_0_end) / sigma_next
        return x_t + (sigma_next - sigma) / 2 * slope


@dataclass(frozen=True)
class Renoise(Transition):
    """Forget `x_t` and add fresh noise to the clean estimate: multistep consistency sampling (Song et al. 2023).

        mean = x_0,    std = sqrt(sigma_next^2 - sigma_min^2)

    Args:
        sigma_min: the level at which a consistency model is the identity; no noise is added there or below.

    Raises:
        ValueError: if `sigma_min` is negative.
    """

    sigma_min: float = 0.002

    def __post_init__(self) -> None:
        require_not_negative(self, sigma_min=self.sigma_min)

    def __call__(self, x_t: Tensor, x_0: Tensor, sigma: float, sigma_next: float) -> tuple[Tensor, float]:
        """See the class."""
        return x_0, math.sqrt(max(sigma_next**2 - self.sigma_min**2, 0.0))


def _euler(x_t: Tensor, x_0: Tensor, sigma: float, sigma_next: float) -> Tensor:
    # A weighted mean rather than x_t plus a step: exactly x_0 at sigma_next = 0, without cancellation.
    weight = sigma_next / sigma
    return weight * x_t + (1 - weight) * x_0
