"""Estimates cut to the range of images, and what a gradient sees of the cut."""

from typing import Literal, get_args

from torch import Tensor

from dis_lightning.errors import InvalidValueError

__all__ = ["Clip", "clipped", "require_clip"]

StraightThrough = Literal["straight-through"]
Clip = bool | StraightThrough
"""Whether estimates are clamped to [-1, 1]. With True, clamped pixels pass no gradient, as in the papers' code:
guidance cannot bring back one that has left the range. With "straight-through" they pass it all the same."""


def require_clip(owner: object, clip: Clip) -> None:
    """Refuse what is no way to clip.

    Raises:
        ValueError: if it is none.
    """
    if not isinstance(clip, bool) and clip not in get_args(StraightThrough):
        raise InvalidValueError(
            f'{type(owner).__name__} needs clip True, False or "straight-through", but got {clip!r}.'
        )


def clipped(x_0: Tensor, clip: Clip) -> Tensor:
    """Estimates, `(N, *shape)`, in [-1, 1] if they are clipped."""
    if not clip:
        return x_0
    inside = x_0.clamp(-1, 1)
    return inside if clip is True else x_0 + (inside - x_0).detach()
