"""DiffPIR: denoising diffusion models for plug-and-play image restoration.

Zhu, Zhang, Liang, Cao, Wen, Timofte, Van Gool, "Denoising Diffusion Models for Plug-and-Play Image Restoration", CVPR
Workshops 2023, https://arxiv.org/abs/2305.08995, algorithm 1, in the variance-exploding form.
"""

import math
from typing import Any

from torch import Tensor

from dis_lightning.errors import require_numbers, require_positive, require_type, require_whole
from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import LinearOperator, Operator, require_density, tensor
from dis_lightning.posteriors import FlatSpread, Spread
from dis_lightning.priors.base import Denoiser
from dis_lightning.solvers.annealed import AnnealedSolver
from dis_lightning.solvers.functional.proximity import descend, near, reach
from dis_lightning.transitions import PartialRenoise
from dis_lightning.types import Guided, Measurement

__all__ = ["DiffPIR"]


class DiffPIR(AnnealedSolver):
    """Replace the clean estimate by the image between it and the measurement, then renew a share of the noise.

        x_0    = D(x_t, sigma)
        x_0'   = argmin_x  -log p(y | x) + lambda |x - x_0|^2 / (2 r(sigma)^2)
        x_next = x_0' + sigma_next (sqrt(1 - zeta) (x_t - x_0') / sigma + sqrt(zeta) n)

    For linear operators the second line is `LinearOperator.proximal`, and where `x_0` given `x_t` is Gaussian with
    standard deviation r, `x_0'` is its exact mean given y too (lambda = 1). For other operators it is a few steps of
    gradient descent from `x_0`, at first as long as the noise of the measurement allows (`proximity.reach`), and halved
    where they overshoot (`proximity.descend`); the authors take one, of length `r^2 / lambda` whatever the noise. One
    network evaluation per step and sample, no network gradient.

    In the authors' code the noise is in units of [0, 1] and the image in units of [-1, 1]: their lambda is 4 times the
    one here.

    Args:
        operator: what is measured; where it is not linear, with a density.
        denoiser: the prior.
        levels: the noise levels; the paper takes 20 to 100.
        weight: λ, how much the estimate counts, > 0.
        renewal: ζ, share of the noise that is fresh after each step, in [0, 1].
        spread: r, how far off the estimate is believed to be; `FlatSpread()`, the paper's `r = sigma`, if not given.
        descent_steps: steps of gradient descent for operators that are not linear, taken or halved, >= 1.
        num_samples: number of posterior samples per image.
        seed: the run's seed.

    Raises:
        ValueError: if an argument is out of range, or an operator that is not linear has no noise.
    """

    def __init__(
        self,
        operator: Operator,
        denoiser: Denoiser,
        levels: Levels,
        *,
        weight: float = 1.0,
        renewal: float = 0.3,
        spread: Spread | None = None,
        descent_steps: int = 10,
        **common: Any,
    ) -> None:
        require_positive(self, weight=weight)
        require_numbers(self, renewal=renewal)
        require_whole(self, 1, descent_steps=descent_steps)
        super().__init__(operator, denoiser, levels, transition=PartialRenoise(renewal), **common)
        if not isinstance(operator, LinearOperator):
            require_density(self, operator)
        self.weight = weight
        require_type(self, Spread | None, spread=spread)
        self.spread = spread or FlatSpread()
        self.descent_steps = descent_steps

    def guide(self, x_t: Tensor, sigma: float, y: Measurement, noise: NoiseSource) -> Guided:
        """See the class."""
        x_0 = self.denoiser(x_t, sigma)
        return Guided(self._between(x_0, y, self.spread(sigma) / math.sqrt(self.weight)), None)

    def _between(self, x_0: Tensor, y: Measurement, spread: float) -> Tensor:
        operator = self.operator
        if isinstance(operator, LinearOperator):
            # Without noise, an infinite step: the measurement is met as well as it can be.
            step = (spread / operator.noise_std) ** 2 if operator.noise_std else math.inf
            return operator.proximal(x_0, tensor(y), step)
        value = near(lambda x: operator.energy(x, y), x_0, spread)
        return descend(value, x_0, reach(operator, spread) ** 2, self.descent_steps)
