"""ΠGDM: pseudoinverse-guided diffusion models.

Song, Vahdat, Mardani, Kautz, "Pseudoinverse-Guided Diffusion Models for Inverse Problems", ICLR 2023,
https://openreview.net/forum?id=9_gsMA8MRKQ, equations 6 to 8.
"""

from typing import Any

from torch import Tensor

from dis_lightning.errors import require_not_negative, require_type
from dis_lightning.gradients import pullback
from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import LinearOperator, Operator, require_linear
from dis_lightning.posteriors import PosteriorSpread, Spread
from dis_lightning.priors.base import Denoiser
from dis_lightning.solvers.annealed import AnnealedSolver
from dis_lightning.types import Guided, Measurement

__all__ = ["PiGDM"]


class PiGDM(AnnealedSolver):
    """Bayes' rule where the clean image given the noisy one is Gaussian, as wide in every direction.

        x_0  = D(x_t, sigma),    p(x_0 | x_t) = N(x_0, r(sigma)^2 I)
        x_0' = x_0 + scale sigma^2 J^T A^T (r^2 A A^T + noise_std^2 I)^+ (y - A x_0),    J = dD / dx_t

    With scale 1 this is `E[x_0 | x_t, y]` exactly where the prior is a Gaussian with the same standard deviation s in
    all directions and `r = PosteriorSpread(s)`. The authors multiply the correction by `r^2` in place of `sigma^2`,
    which is the same at low levels and less at high ones; at high levels Bayes' rule asks for all of it. One network
    evaluation and one gradient per step and sample.

    Args:
        operator: what is measured: linear.
        denoiser: the prior.
        levels: the noise levels; the paper takes 20 to 100.
        spread: r, how far off the estimate is believed to be; `PosteriorSpread(1.0)`, the paper's, if not given.
        scale: factor of the correction, >= 0.
        transition: how to go to the next level; ancestral Euler if not given.
        num_samples: number of posterior samples per image.
        seed: the run's seed.

    Raises:
        TypeError: if the operator is not linear.
        ValueError: if `scale` is out of range.
    """

    operator: LinearOperator

    def __init__(
        self,
        operator: Operator,
        denoiser: Denoiser,
        levels: Levels,
        *,
        spread: Spread | None = None,
        scale: float = 1.0,
        **common: Any,
    ) -> None:
        super().__init__(operator, denoiser, levels, **common)
        require_linear(self, operator)
        require_type(self, Spread | None, spread=spread)
        self.spread = spread or PosteriorSpread()
        require_not_negative(self, scale=scale)
        self.scale = scale

    def guide(self, x_t: Tensor, sigma: float, y: Measurement, noise: NoiseSource) -> Guided:
        """See the class."""
        operator, variance = self.operator, self.spread(sigma) ** 2
        x_0, pull = pullback(lambda x: self.denoiser(x, sigma), x_t)
        # By the damped pseudo-inverse, which has r^2 taken out of it.
        correction = -operator.pseudo_inverse(operator.residual(x_0, y), damping=operator.noise_std**2 / variance)
        return Guided(x_0 + self.scale * sigma**2 / variance * pull(correction), None)
