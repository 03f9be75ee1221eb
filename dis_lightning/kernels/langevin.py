"""Langevin steps: discretisations of `dz = -(z + grad E(z)) dt + sqrt(2) dW`, whose stationary law is `pi`.

Purohit et al., "Posterior sampling via Langevin dynamics based on generative priors", 2024,
https://arxiv.org/abs/2410.02078, equations 8 and 11 and appendix C. A step of size tau has a stationary law of its own,
which is off by an amount of order tau; nothing in the samples shows it.
"""

import math

from dis_lightning.errors import InvalidValueError, require_numbers, require_positive
from dis_lightning.kernels.base import Kernel, KernelState, Point, Target
from dis_lightning.noise import NoiseSource

__all__ = ["EulerMaruyama", "ExponentialIntegrator"]


class EulerMaruyama(Kernel):
    """A Langevin step (Purohit et al. 2024, equation 11); always accepted.

        z' = (1 - tau) z - tau g + sqrt(2 tau) n

    One evaluation and one gradient per step. Where U is quadratic with curvature `lambda`, the stationary mean is exact
    and the stationary variance is `1 / (lambda (1 - tau lambda / 2))`; from `tau lambda = 2` on the chain diverges.

    Args:
        step_size: tau, > 0.
        prior_pull: weight of the prior's part `z`. The authors' code has 1 / 80^2 in place of 1, which takes the prior
            away and is not visible at its step sizes.

    Raises:
        ValueError: if `step_size` is not positive or a number is not finite.
    """

    def __init__(self, step_size: float, prior_pull: float = 1.0) -> None:
        require_positive(self, step_size=step_size)
        require_numbers(self, prior_pull=prior_pull)
        if not math.isfinite(prior_pull):
            raise InvalidValueError(f"EulerMaruyama needs a finite prior_pull, but got {prior_pull}.")
        self.step_size = step_size
        self.prior_pull = prior_pull

    def step(self, point: Point, state: KernelState, target: Target, noise: NoiseSource) -> tuple[Point, KernelState]:
        """See the class and `Kernel.step`."""
        tau, z = self.step_size, point.z
        drift = self.prior_pull * z + point.gradient
        return target(z - tau * drift + math.sqrt(2 * tau) * noise.like(z)), state


class ExponentialIntegrator(Kernel):
    """A Langevin step that is exact for the prior's part (Purohit et al. 2024, appendix C); always accepted.

        z' = e^-tau z - (1 - e^-tau) g + sqrt(1 - e^(-2 tau)) n

    One evaluation and one gradient per step. Without a measurement the law of `z` is exact for every `tau`.

    Args:
        step_size: tau, > 0.

    Raises:
        ValueError: if `step_size` is not positive or not finite.
    """

    def __init__(self, step_size: float) -> None:
        require_positive(self, step_size=step_size)
        self.step_size = step_size

    def step(self, point: Point, state: KernelState, target: Target, noise: NoiseSource) -> tuple[Point, KernelState]:
        """See the class and `Kernel.step`."""
        tau, z = self.step_size, point.z
        # expm1 keeps all digits of 1 - e^-tau: published steps are as small as 1e-7.
        mean = math.exp(-tau) * z + math.expm1(-tau) * point.gradient
        return target(mean + math.sqrt(-math.expm1(-2 * tau)) * noise.like(z)), state
