"""Methods that treat each singular direction of a linear measurement on its own: DDRM, and DDNM with noise.

What they share is how their step enters the annealed loop. The loop adds noise that is the same in every direction, and
theirs is not; so they draw it themselves, and say where the next noisy image is as a shift from the probability flow.
"""

from abc import abstractmethod
from typing import Any

from torch import Tensor

from dis_lightning.errors import InvalidValueError, require_numbers
from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import LinearOperator, Operator, require_linear, tensor
from dis_lightning.operators.spectrum import Decomposition
from dis_lightning.priors.base import Denoiser
from dis_lightning.solvers.annealed import AnnealedSolver
from dis_lightning.transitions import ProbabilityFlow
from dis_lightning.types import Guided, Measurement

__all__ = ["SpectralSolver", "seen"]

ROUNDING = 1e-6
"""Singular values below this share of the largest are rounding."""


class SpectralSolver(AnnealedSolver):
    """A solver that says itself how each singular direction goes to the next level.

    Args:
        operator: what is measured: linear, with a singular value decomposition.
        denoiser: the prior.
        levels: the noise levels.
        eta: share of fresh noise, in [0, 1].
        num_samples: number of posterior samples per image.
        seed: the run's seed.

    Raises:
        TypeError: if the operator is not linear.
        ValueError: if `eta` is out of range, or the operator's decomposition is not known.
    """

    def __init__(
        self, operator: Operator, denoiser: Denoiser, levels: Levels, *, eta: float = 0.85, **common: Any
    ) -> None:
        super().__init__(operator, denoiser, levels, transition=ProbabilityFlow(), **common)
        linear = require_linear(self, operator)
        if not linear.decomposes:
            raise InvalidValueError(
                f"{type(self).__name__} needs the singular value decomposition of the operator, which "
                f"{type(operator).__name__} does not know; take MMPS or PiGDM, which do without."
            )
        require_numbers(self, eta=eta)
        if not 0 <= eta <= 1:
            raise InvalidValueError(f"{type(self).__name__} needs eta in [0, 1], but got {eta}.")
        self.eta = eta

    @abstractmethod
    def step(
        self,
        x_t: Tensor,
        x_0: Tensor,
        sigma: float,
        sigma_next: float,
        y: Measurement,
        parts: Decomposition,
        noise: NoiseSource,
    ) -> tuple[Tensor, Tensor]:
        """Go to the next level.

        Args:
            x_t: noisy images at level `sigma`, `(N, *shape)`.
            x_0: the prior's estimates of the clean images, same shape.
            sigma: level of `x_t`, > 0.
            sigma_next: level to go to, in [0, sigma).
            y: what was measured.
            parts: the decomposition of the operator.
            noise: one stream per row.

        Returns:
            The estimates as the measurement changes them, and the noisy images at the next level.
        """

    def guide(self, x_t: Tensor, sigma: float, y: Measurement, noise: NoiseSource) -> Guided:
        """See the class."""
        operator = require_linear(self, self.operator)
        x_0, sigma_next = self.denoiser(x_t, sigma), self.levels.below(sigma)
        parts = operator.decomposition(x_t, tensor(y))
        x_0, x_next = self.step(x_t, x_0, sigma, sigma_next, y, parts, noise)
        mean, _ = self.transition(x_t, x_0, sigma, sigma_next)
        return Guided(x_0, mean - x_next)


def seen(operator: LinearOperator, values: Tensor) -> Tensor:
    """Which directions are measured. Without noise, those too weak for the operator's own pseudo-inverse are not."""
    floor = ROUNDING if operator.noise_std else operator.tolerance
    return values > floor * values.max()
