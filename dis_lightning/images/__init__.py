"""Between images in [-1, 1] and their saved form, 8 bit."""

import torch
from torch import Tensor

__all__ = ["GREY_LEVEL", "dequantise", "quantise"]

GREY_LEVEL = 2 / 255
"""From one of the 256 grey levels to the next, in [-1, 1]."""


def quantise(x: Tensor) -> Tensor:
    """Round images in [-1, 1] to 8 bit, values outside clamped, non-finite ones as mid-grey."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))  # half a precision would round twice
    return ((x.nan_to_num(0.0, 0.0, 0.0).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def dequantise(x: Tensor) -> Tensor:
    """Turn 8-bit images into float32 in [-1, 1]; the inverse of `quantise` on its values."""
    return x.float() / 127.5 - 1
