"""DPS: diffusion posterior sampling.

Chung, Kim, Mccann, Klasky, Ye, "Diffusion Posterior Sampling for General Noisy Inverse Problems", ICLR 2023,
https://arxiv.org/abs/2209.14687; in the variance-exploding form of Xu et al. 2024, algorithm 1, and of Purohit et al.
2024 (DPS-DM).
"""

from typing import Any

from torch import Tensor

from dis_lightning.errors import require_not_negative, require_type
from dis_lightning.guidance import Convention, SigmaScale, guide_noisy_image
from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import Operator
from dis_lightning.posteriors import PointPosterior, PosteriorModel
from dis_lightning.priors.base import Denoiser
from dis_lightning.solvers.annealed import AnnealedSolver
from dis_lightning.types import Guided, Measurement

__all__ = ["DPS"]


class DPS(AnnealedSolver):
    """Follow the distance at the posterior mean, differentiated through the network.

        x_0     = D(x_t, sigma)
        x_next  = transition(x_t, x_0) - scale sigma grad_{x_t} d(A(x_0), y)

    The text of Purohit et al. has no `sigma` in the second line; their code and that of Xu et al. have it. The scales
    of Chung et al. belong to DDPM's variable: give them with `VPScale()`, which says how the line reads then. The
    distance is one number per image: an image's step does not depend on the others in its batch. One network evaluation
    and one gradient per step and sample.

    Args:
        operator: what is measured.
        denoiser: the prior.
        levels: the noise levels; the papers take 1000 (Xu et al.) or 100 (Purohit et al.) Karras levels.
        scale: guidance strength ζ, >= 0. It belongs to the convention, and but for the likelihood's to the operator's
            distance and to the number of steps.
        convention: what the scale is measured in: `SigmaScale()`, the papers' and the default, `VPScale()`, that of the
            DPS paper itself, or `LikelihoodScale()`, in which 1 means the likelihood.
        transition: how to go to the next level; ancestral Euler if not given.
        num_samples: number of posterior samples per image.
        seed: the run's seed.

    Raises:
        ValueError: if `scale` is negative or not finite, or if the likelihood is followed of a measurement without
            noise.
    """

    prior_kind = None

    def __init__(
        self,
        operator: Operator,
        denoiser: Denoiser,
        levels: Levels,
        *,
        scale: float,
        convention: Convention | None = None,
        **common: Any,
    ) -> None:
        super().__init__(operator, denoiser, levels, **common)
        require_not_negative(self, scale=scale)
        self.scale = scale
        require_type(self, Convention | None, convention=convention)
        self.convention = convention or SigmaScale()
        self.reduction = self.convention.settle(self, operator)

    def guide(self, x_t: Tensor, sigma: float, y: Measurement, noise: NoiseSource) -> Guided:
        """See the class."""
        x_0, slope = guide_noisy_image(x_t, sigma, y, self.posterior_model(), self.operator, noise, self.reduction)
        return self.convention.guided(x_0, slope, self.scale, sigma, self.levels.below(sigma), self.operator)

    def posterior_model(self) -> PosteriorModel:
        """What the measurement is compared with, given a noisy image: the posterior mean."""
        return PointPosterior(self.denoiser)
