"""Methods that treat each singular direction of a linear measurement on its own: DDRM, and DDNM with noise.

What they share is how their step enters the annealed loop. The loop adds noise that is the same in every direction, and
theirs is not; so they draw it themselves, and say where the next noisy image is as a shift from the probability flow.
"""

from torch import Tensor

from dis_lightning.errors import InvalidValueError
from dis_lightning.operators.base import LinearOperator
from dis_lightning.transitions import ProbabilityFlow
from dis_lightning.types import Guided

__all__ = ["landed", "require_decomposition", "seen"]

ROUNDING = 1e-6
"""Singular values below this share of the largest are rounding."""


def require_decomposition(owner: object, operator: LinearOperator) -> None:
    """Refuse a linear operator whose singular value decomposition is not known.

    Raises:
        ValueError: if it is not; it says what does without.
    """
    if not operator.decomposes:
        raise InvalidValueError(
            f"{type(owner).__name__} needs the singular value decomposition of the operator, which "
            f"{type(operator).__name__} does not know; take MMPS or PiGDM, which do without."
        )


def landed(x_t: Tensor, x_0: Tensor, x_next: Tensor, sigma: float, sigma_next: float) -> Guided:
    """A step that is known as a whole, for a loop whose transition is the probability flow.

    Args:
        x_t: noisy images at level `sigma`, `(N, *shape)`.
        x_0: estimates of the clean images, same shape.
        x_next: the noisy images at the next level, same shape.
        sigma: level of `x_t`, > 0.
        sigma_next: level of `x_next`, in [0, sigma).
    """
    mean, _ = ProbabilityFlow()(x_t, x_0, sigma, sigma_next)
    return Guided(x_0, mean - x_next)


def seen(operator: LinearOperator, values: Tensor) -> Tensor:
    """Which directions are measured. Without noise, those too weak for the operator's own pseudo-inverse are not."""
    floor = ROUNDING if operator.noise_std else operator.tolerance
    return values > floor * values.max()
