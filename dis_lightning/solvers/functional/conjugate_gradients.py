"""Conjugate gradients: the solution of many small linear systems at once, one per image.

Hestenes and Stiefel, "Methods of Conjugate Gradients for Solving Linear Systems", 1952. For `M v = b` with M symmetric
and positive, `k` steps give the best v in the span of b, M b, ..., M^(k - 1) b; as many steps as M has different
eigenvalues give the solution.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dis_lightning.types import dot, per_row

__all__ = ["conjugate_gradients"]


def conjugate_gradients(apply: Callable[[Tensor], tuple[Tensor, Tensor]], b: Tensor, iterations: int) -> Tensor:
    """A linear image of the solution of `M v = b`, row by row: no row's steps depend on another row.

    Args:
        apply: gives `M p`, `(N, ...)`, and a linear image `L p` of it, `(N, *shape)`. What is wanted is `L v`: it is
            summed on the way, where L costs as much as M and is part of it.
        b: the right sides, `(N, ...)`.
        iterations: number of steps, >= 1, and of calls of `apply`.

    Returns:
        `L v`, `(N, *shape)`. A row stays as it is once it is solved but for rounding; and where M is singular, in
        directions that it takes to nothing: what b has of these has no solution.
    """
    total: Tensor | None = None
    residual = direction = b
    square = first = dot(residual, residual)
    steepest = torch.zeros_like(square)
    eps = torch.finfo(b.dtype).eps
    for _ in range(iterations):
        image, carried = apply(direction)
        curvature, size = dot(direction, image), dot(direction, direction)
        steepest = torch.maximum(steepest, torch.where(size > 0, curvature / size, torch.zeros_like(size)))
        # What rounding leaves of a residual, or of a direction, is no way to go.
        going = (square > eps**2 * first) & (curvature > 10 * eps * steepest * size)
        length = torch.where(going, square / curvature, torch.zeros_like(square))
        step = per_row(length, carried) * carried
        total = step if total is None else total + step
        residual = residual - per_row(length, image) * image
        square, last = dot(residual, residual), square
        ratio = torch.where(going, square / last, torch.zeros_like(square))
        direction = residual + per_row(ratio, direction) * direction
    assert total is not None
    return total
