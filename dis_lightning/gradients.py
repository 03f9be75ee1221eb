"""Values of images with their gradients: what guidance follows, and what kernels move along."""

from collections.abc import Callable

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError

__all__ = ["gradient", "pullback"]


def gradient(function: Callable[[Tensor], tuple[Tensor, Tensor]], at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Differentiate a value of each image.

    Args:
        function: gives a value per row, `(N,)`, and anything else worth keeping.
        at: where, `(N, ...)`.

    Returns:
        The values; the gradient of each row's value with respect to that row of `at`; and what the function gave
        beside. All detached.

    Raises:
        ValueError: if the value does not depend on where, as far as PyTorch knows; or in inference mode.
    """
    if torch.is_inference_mode_enabled():
        raise InvalidValueError(
            "Guidance takes gradients, which torch.inference_mode() rules out; call the solver outside of it."
        )
    with torch.enable_grad():
        at = at.detach().requires_grad_()
        value, kept = function(at)
        if not value.requires_grad:
            raise InvalidValueError(
                "The distance to the measurement has no gradient with respect to the images: a prior or an operator of "
                "one's own must not use torch.no_grad() or detach() on the way from its images to its result."
            )
        # The sum lets each row have the gradient of its own value; a row that is not finite spoils no other.
        (slope,) = torch.autograd.grad(value.sum(), at)
    return value.detach(), slope, kept.detach()


def pullback(function: Callable[[Tensor], Tensor], at: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Evaluate a function of images, and give the products with its transposed Jacobian there.

    Args:
        function: makes `(N, ...)` of `(N, *shape)`, row by row.
        at: where, `(N, *shape)`.

    Returns:
        The value, detached, and `v -> J^T v`, which may be asked as often as is wanted: a gradient each.
    """
    with torch.enable_grad():
        at = at.detach().requires_grad_()
        value = function(at)

    def pull(v: Tensor) -> Tensor:
        (pulled,) = torch.autograd.grad(value, at, v, retain_graph=True)
        return pulled

    return value.detach(), pull
