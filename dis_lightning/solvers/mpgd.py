"""MPGD: manifold-preserving guided diffusion, without the projection on an autoencoder's manifold.

He, Murata, Lai, Takida, Uesaka, Kim, Liao, Mitsufuji, Kolter, Salakhutdinov, Ermon, "Manifold Preserving Guided
Diffusion", ICLR 2024, https://arxiv.org/abs/2311.16424; as in Xu et al. 2024, algorithm 7, and Purohit et al. 2024,
appendix B.2.
"""

from typing import Any

from torch import Tensor

from dis_lightning.errors import require_not_negative
from dis_lightning.guidance import guide_clean_image
from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import Operator
from dis_lightning.priors.base import Denoiser
from dis_lightning.solvers.annealed import AnnealedSolver
from dis_lightning.types import Guided, Measurement

__all__ = ["MPGD"]


class MPGD(AnnealedSolver):
    """Move the clean estimate down the distance, then go to the next level from there.

        x_0    = D(x_t, sigma)
        x_0'   = x_0 - scale grad_{x_0} d(A(x_0), y)
        x_next = transition(x_t, x_0')

    The gradient is taken at `x_0` and never enters the network: one network evaluation and no network gradient per step
    and sample. The estimate is not clamped again after it moved.

    The step is taken at the clean image, where all parametrisations of the noise agree: there is no convention to
    choose. A step of the likelihood's size at the clean image is that of `DiffPIR`.

    The code of Purohit et al. multiplies ζ by 10 on the way: their ζ = 25 is `scale=250` here. A consistency model as
    denoiser makes this their MPGD-CM.

    Args:
        operator: what is measured.
        denoiser: the prior.
        levels: the noise levels.
        scale: guidance strength ζ, >= 0, the same at all levels.
        transition: how to go to the next level; ancestral Euler if not given.
        num_samples: number of posterior samples per image.
        seed: the run's seed.

    Raises:
        ValueError: if `scale` is negative or not finite.
    """

    prior_kind = None

    def __init__(self, operator: Operator, denoiser: Denoiser, levels: Levels, *, scale: float, **common: Any) -> None:
        super().__init__(operator, denoiser, levels, **common)
        require_not_negative(self, scale=scale)
        self.scale = scale

    def guide(self, x_t: Tensor, sigma: float, y: Measurement, noise: NoiseSource) -> Guided:
        """See the class."""
        x_0 = self.denoiser(x_t, sigma)
        return Guided(x_0 - self.scale * guide_clean_image(x_0, y, self.operator), None)
