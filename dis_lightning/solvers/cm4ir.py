"""CM4IR: zero-shot image restoration with few steps of a consistency model.

Garber, Tirer, "Zero-Shot Image Restoration Using Few-Step Guidance of Consistency Models (and Beyond)", CVPR 2025,
https://arxiv.org/abs/2412.20596, algorithm 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from dis_lightning.errors import InvalidValueError, require_not_negative, require_numbers, require_share
from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import LinearOperator, require_linear, tensor
from dis_lightning.priors.base import Denoiser
from dis_lightning.solvers.annealed import AnnealedSolver
from dis_lightning.solvers.functional.proximity import first_guess
from dis_lightning.transitions import Transition
from dis_lightning.types import Guided, Measurement

__all__ = ["CM4IR"]


@dataclass(frozen=True)
class _Injection(Transition):
    """Fresh noise on the clean estimate: `eta sigma_next`. The rest of the noise is the shift of `CM4IR.guide`."""

    eta: float

    def __call__(self, x_t: Tensor, x_0: Tensor, sigma: float, sigma_next: float) -> tuple[Tensor, float]:
        return x_0, self.eta * sigma_next


class CM4IR(AnnealedSolver):
    """Begin at a first guess of the image, and project what a consistency model makes of it onto the measurement.

        x_t    = A^+ y + sigma_1 n                                  hidden pixels of a mask at a median
        x_0    = f(x_t, (1 + delta_k) sigma)
        x_0'   = x_0 - A^T (A A^T + ridge noise_std^2)^-1 (A x_0 - y)
        x_next = x_0' + sigma_next (eta n - sqrt(1 - eta^2) (x_t - x_0) / sigma)

    The noise that the model took away goes back in with its sign turned, and a little fresh noise. With noise on the
    measurement the last level is not projected: its `x_0` is the result. Without, the result meets the measurement as
    far as `A^+` inverts it.

    One evaluation of the consistency model per level but the last, and sample: four in the paper. No network gradient.

    The authors' scripts set no delta; those of their comments for inpainting are the `deltas` here. Those for other
    tasks change what the network is told of the level but not its scalings, which a prior here keeps together.

    Args:
        operator: what is measured; linear.
        denoiser: the consistency model.
        levels: the noise levels, all but the last above 0; the paper's are `GrowingSignalLevels`.
        ridge: ζ, damping of the pseudo-inverse in units of the measurement's noise, >= 0.
        eta: share of fresh noise, in [0, 1]; 0.1 in the paper.
        deltas: δ_k, by how much the model is told more noise than there is, one >= 0 for each level but the last; none
            if not given.
        num_samples: number of posterior samples per image.
        seed: the run's seed.

    Raises:
        TypeError: if a part is missing or the operator is not linear.
        ValueError: if an argument is out of range, or the denoiser is known to be no consistency map.
    """

    operator: LinearOperator
    prior_kind = "consistency map"

    def __init__(
        self,
        operator: LinearOperator,
        denoiser: Denoiser,
        levels: Levels,
        *,
        ridge: float = 0.0,
        eta: float = 0.1,
        deltas: Sequence[float] | None = None,
        **common: Any,
    ) -> None:
        require_share(self, eta=eta)
        require_not_negative(self, ridge=ridge)
        super().__init__(operator, denoiser, levels, transition=_Injection(eta), **common)
        require_linear(self, operator)
        self.ridge = ridge
        self.eta = eta
        self.deltas = model_deltas(self, deltas, len(levels) - 1)

    def start(self, y: Measurement, noise: NoiseSource) -> Tensor:
        """A first guess and the noise of the first level; see `AnnealedSolver.start`."""
        guess = first_guess(self.operator, y, self.denoiser.shape, noise, self._damping)
        return guess + self.levels[0] * noise.like(guess)

    def guide(self, x_t: Tensor, sigma: float, y: Measurement, noise: NoiseSource) -> Guided:
        """See the class."""
        x_0 = self.denoiser(x_t, (1 + self.deltas[self.levels.index(sigma)]) * sigma)
        sigma_next = self.levels.below(sigma)
        if sigma_next == 0 and self.operator.noise_std > 0:
            return Guided(x_0, None)
        projected = x_0 - self.operator.pseudo_inverse(self.operator.residual(x_0, tensor(y)), self._damping)
        return Guided(projected, sigma_next * math.sqrt(1 - self.eta**2) / sigma * (x_t - x_0))

    @property
    def _damping(self) -> float:
        return self.ridge * self.operator.noise_std**2


def model_deltas(owner: object, deltas: Sequence[float] | None, steps: int) -> tuple[float, ...]:
    """By how much a consistency model is told more noise than there is, at each of `steps` levels.

    Raises:
        ValueError: if there is not one for each, or one is negative or not finite.
    """
    if deltas is None:
        return (0.0,) * steps
    for delta in deltas:
        require_numbers(owner, deltas=delta)
    if len(deltas) != steps or not all(0 <= delta < math.inf for delta in deltas):
        raise InvalidValueError(
            f"{type(owner).__name__} needs a finite delta >= 0 for each of the {steps} levels above the last, but got "
            f"deltas={list(deltas)}."
        )
    return tuple(deltas)
