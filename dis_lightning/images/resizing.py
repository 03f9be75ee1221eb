"""Changes of size as products with a matrix for each axis.

Pictures go to networks through them, and gradients come back. PyTorch's own kernels add such gradients up on a GPU in
an order that changes, and refuse to where the same bits are asked for each time; a product does not.
"""

from functools import cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Interpolation", "interpolated", "pooled"]

Interpolation = Literal["bicubic", "bilinear"]


def interpolated(x: Tensor, size: tuple[int, ...], interpolation: Interpolation, antialias: bool) -> Tensor:
    """Pictures in another size, as `torch.nn.functional.interpolate` makes them.

    Args:
        x: pictures, `(N, C, H, W)`.
        size: height and width of the result.
        interpolation: which filter.
        antialias: whether the filter widens where a picture gets smaller.

    Returns:
        `(N, C, *size)`.
    """
    rows, columns = (
        _filter(there, to, interpolation, antialias).to(x) for there, to in zip(x.shape[-2:], size, strict=True)
    )
    return rows @ x @ columns.T


def pooled(x: Tensor, size: int) -> Tensor:
    """Means of `size` by `size` fields that cover a picture, as `torch.nn.functional.adaptive_avg_pool2d` takes them.

    Args:
        x: pictures, `(N, C, H, W)`.
        size: fields along each axis.

    Returns:
        `(N, C, size, size)`.
    """
    rows, columns = (_means(there, size).to(x) for there in x.shape[-2:])
    return rows @ x @ columns.T


# On the CPU wherever they are asked for first, and fit for gradients.
@cache
@torch.inference_mode(False)
def _filter(there: int, to: int, interpolation: Interpolation, antialias: bool) -> Tensor:
    points = torch.eye(there, dtype=torch.float64, device="cpu")[None, None]
    return F.interpolate(points, (to, there), mode=interpolation, antialias=antialias)[0, 0]


@cache
@torch.inference_mode(False)
def _means(there: int, fields: int) -> Tensor:
    found = torch.zeros(fields, there, dtype=torch.float64, device="cpu")
    for field, row in enumerate(found):
        first, last = field * there // fields, -(-(field + 1) * there // fields)
        row[first:last] = 1 / (last - first)
    return found
