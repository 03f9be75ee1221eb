"""The EDM baseline: samples of the prior, blind to the measurement.

Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022,
https://arxiv.org/abs/2206.00364, with the ancestral Euler sampler.
"""

from torch import Tensor

from dis_lightning.noise import NoiseSource
from dis_lightning.solvers.annealed import AnnealedSolver
from dis_lightning.types import Guided, Measurement

__all__ = ["Unguided"]


class Unguided(AnnealedSolver):
    """Sample the prior; the row that every guided method has to beat.

    One network evaluation per step and sample, no gradient. With an exact conditional denoiser as prior it samples the
    exact posterior.
    """

    prior_kind = None

    def guide(self, x_t: Tensor, sigma: float, y: Measurement, noise: NoiseSource) -> Guided:
        """The denoiser's estimate, unchanged."""
        return Guided(self.denoiser(x_t, sigma), None)
