"""TFG: unified training-free guidance.

Ye, Lin, Han, Xu, Liu, Liang, Ma, Zou, Ermon, "TFG: Unified Training-Free Guidance for Diffusion Models", NeurIPS 2024,
https://arxiv.org/abs/2409.15761, algorithm 1, in the variance-exploding form.
"""

from typing import Any

from torch import Tensor

from dis_lightning.errors import require_not_negative, require_whole
from dis_lightning.guidance import guide_clean_image
from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import Operator
from dis_lightning.posteriors import Spread, around
from dis_lightning.priors.base import Denoiser
from dis_lightning.solvers.lgd import LGD
from dis_lightning.types import Guided, Measurement

__all__ = ["TFG"]


class TFG(LGD):
    """Guidance at the noisy and at the clean image, both smoothed by draws, each step taken several times.

        L(x)   = reduction of the comparisons of y with x + spread n_m,    m = 1 .. M
        x_0    = D(x_t, sigma),    g = grad_{x_t} L(x_0)                         variance guidance, through the network
        x_0'   = x_0 - mu grad L(x_0), iterations times                          mean guidance, at the clean image
        x_next = transition(x_t, x_0') - rho sigma g                             and back up, `visits` times in all

    Its corners are other methods, with the same noise the same samples:

        DPS        mean_scale 0, spread 0, visits 1
        LGD        mean_scale 0, visits 1
        FreeDoM    mean_scale 0, spread 0; with `visits` everywhere
        MPGD       variance_scale 0, spread 0, iterations 1, visits 1

    The paper adds the change of x_0 to `x_next`; here it goes through the transition, as in the MPGD of this project,
    where steps that are short keep a part of it alone. So its mean-guidance strengths belong to another number of
    steps. Its weights of level are those of the convention; the constant one is the closest to the paper's.

    Per visit and sample one network evaluation, and one gradient unless `variance_scale` is 0.

    Args:
        operator: what is measured.
        denoiser: the prior.
        levels: the noise levels.
        variance_scale: ρ, strength of the guidance through the network, >= 0.
        mean_scale: μ, strength of the guidance at the clean image, >= 0: what L is multiplied by, whatever the
            convention. Of distances it is MPGD's; an energy, which `LikelihoodScale` follows, needs a smaller one, of
            about the variance of the noise.
        iterations: steps of the latter per visit, >= 1; 4 in the paper.
        spread: standard deviation of the draws, a number or a rule, finite and >= 0.
        monte_carlo_samples: number of draws M, >= 1.
        visits: how often a step is taken, >= 1.
        reduction: L, how M draws make one value per image; that of the convention if not given.
        convention: what ρ is measured in; see `DPS`.
        transition: how to go to the next level; ancestral Euler if not given.
        num_samples: number of posterior samples per image.
        seed: the run's seed.

    Raises:
        ValueError: if an argument is out of range, or densities are followed of a measurement without noise.
    """

    def __init__(
        self,
        operator: Operator,
        denoiser: Denoiser,
        levels: Levels,
        *,
        variance_scale: float,
        mean_scale: float,
        iterations: int = 1,
        spread: float | Spread = 0.0,
        visits: int = 1,
        **common: Any,
    ) -> None:
        require_not_negative(self, variance_scale=variance_scale, mean_scale=mean_scale)
        require_whole(self, 1, iterations=iterations, visits=visits)
        super().__init__(operator, denoiser, levels, scale=variance_scale, spread=spread, **common)
        self.mean_scale = mean_scale
        self.iterations, self.visits = iterations, visits

    def guide(self, x_t: Tensor, sigma: float, y: Measurement, noise: NoiseSource) -> Guided:
        """See the class."""

        def draws(x_0: Tensor) -> Tensor:
            return around(x_0, sigma, self.spread, self.monte_carlo_samples, noise)

        x_0, shift = super().guide(x_t, sigma, y, noise) if self.scale else Guided(self.denoiser(x_t, sigma), None)
        for _ in range(self.iterations if self.mean_scale > 0 else 0):
            x_0 = x_0 - self.mean_scale * guide_clean_image(x_0, y, self.operator, self.reduction, draws)
        return Guided(x_0, shift)

    def visits_at(self, sigma: float) -> int:
        """As often at every level."""
        return self.visits
