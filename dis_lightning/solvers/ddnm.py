"""DDNM: denoising diffusion null-space models.

Wang, Yu, Zhang, "Zero-Shot Image Restoration Using Denoising Diffusion Null-Space Model", ICLR 2023,
https://arxiv.org/abs/2212.00490, algorithm 1 without noise and DDNM+ (section 3.3 and appendix I) with noise, in the
variance-exploding form.
"""

from typing import Any

from torch import Tensor

from dis_lightning.errors import InvalidValueError, require_share, require_whole
from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import LinearOperator, Operator, require_linear, tensor
from dis_lightning.priors.base import Denoiser
from dis_lightning.solvers.annealed import AnnealedSolver
from dis_lightning.solvers.functional.spectral import landed, require_decomposition, seen
from dis_lightning.transitions import AncestralEuler, ProbabilityFlow
from dis_lightning.types import Guided, Measurement

__all__ = ["DDNM"]


class DDNM(AnnealedSolver):
    """Keep of the estimate what was not measured, and take the rest from the measurement.

        x_0    = D(x_t, sigma)
        x_0'   = x_0 - A^+ (A x_0 - y)
        x_next = ancestral Euler of x_t and x_0'

    With noise on the measurement (DDNM+) the second line would bring that noise into the image. There each singular
    direction takes as much of the correction as brings no more noise than the step adds anyway, and the step adds that
    much less: with `sigma_up` its noise and `a` the weight of `x_0'` in it,

        l = min(1, s sigma_up / (a noise_std)),    x_0' = x_0 + V (l / s) (U^T y - s V^T x_0)
        n has variance sigma_up^2 - (a l noise_std / s)^2

    Without noise the measurement is met, of blurs but for directions below the operator's `tolerance`. One network
    evaluation per step and visit, no gradient.

    Args:
        operator: what is measured: linear; with noise, with a singular value decomposition.
        denoiser: the prior.
        levels: the noise levels; the paper takes 100.
        eta: share of fresh noise of the ancestral Euler step, in [0, 1]; with noise on the measurement > 0.
        visits: how often each step is taken, >= 1; more than once is the paper's time travel.
        num_samples: number of posterior samples per image.
        seed: the run's seed.

    Raises:
        TypeError: if the operator is not linear.
        ValueError: if `eta` or `visits` is out of range, or the measurement has noise and the operator's decomposition
            is not known.
    """

    operator: LinearOperator

    def __init__(
        self,
        operator: Operator,
        denoiser: Denoiser,
        levels: Levels,
        *,
        eta: float = 0.85,
        visits: int = 1,
        **common: Any,
    ) -> None:
        require_share(self, eta=eta)
        require_whole(self, 1, visits=visits)
        noisy = isinstance(operator, LinearOperator) and operator.noise_std > 0
        # Without noise no direction needs one of its own: the loop's will do.
        transition = ProbabilityFlow() if noisy else AncestralEuler(eta)
        super().__init__(operator, denoiser, levels, transition=transition, **common)
        linear = require_linear(self, operator)
        if noisy:
            require_decomposition(self, linear)
            if eta == 0:
                raise InvalidValueError(
                    "DDNM needs, with noise on the measurement, eta > 0, in which that noise can hide, but got "
                    f"eta={eta}."
                )
        self.eta, self.visits = eta, visits

    def visits_at(self, sigma: float) -> int:
        """See `AnnealedSolver.visits_at`."""
        return self.visits

    def guide(self, x_t: Tensor, sigma: float, y: Measurement, noise: NoiseSource) -> Guided:
        """See the class."""
        operator, x_0 = self.operator, self.denoiser(x_t, sigma)
        if operator.noise_std == 0:
            return Guided(x_0 - operator.pseudo_inverse(operator.residual(x_0, y)), None)
        sigma_next = self.levels.below(sigma)
        parts = operator.decomposition(x_t, tensor(y))
        down, up = AncestralEuler(self.eta).split(sigma, sigma_next)
        weight = 1 - down / sigma
        known = seen(operator, parts.values)
        safe = parts.values.where(known, 1.0)
        share = (safe * up / (weight * operator.noise_std)).clamp(max=1).where(known, 0.0)
        off = parts.measured(-operator.residual(x_0, y))
        x_0 = x_0 + parts.images(share / safe * off)
        std = (up**2 - (weight * share * operator.noise_std / safe).square()).clamp(min=0).sqrt()
        n = parts.images(std * parts.coefficients(noise.like(x_t)))
        return landed(x_t, x_0, (1 - weight) * x_t + weight * x_0 + n, sigma, sigma_next)
