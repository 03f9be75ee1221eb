"""Posterior models: what is believed about the clean image given a noisy one.

The papers differ in where they compare the measurement with the estimate of the clean image: at the posterior mean, at
draws around it, or at a consistency sample. Each is a callable `(x_t, sigma, noise) -> Posterior`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from dis_lightning.noise import NoiseSource
from dis_lightning.priors.base import Denoiser
from dis_lightning.types import Posterior

__all__ = ["PointPosterior", "PosteriorModel"]


class PosteriorModel(ABC):
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
