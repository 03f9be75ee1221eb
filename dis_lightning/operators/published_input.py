"""How published networks want their images: in [0, 1], resized, normalised.

With the mean and the standard deviation of each channel,

    u = (x_0 + 1) / 2,    v = (resize(u) - mean) / std
"""

from typing import Literal

import torch
from torch import Tensor

from dis_lightning.images.resizing import interpolated

__all__ = ["CLIP_MEAN", "CLIP_STD", "IMAGENET_MEAN", "IMAGENET_STD", "PerChannel", "prepared"]

PerChannel = tuple[float, float, float]
"""Red, green and blue."""

IMAGENET_MEAN: PerChannel = (0.485, 0.456, 0.406)
IMAGENET_STD: PerChannel = (0.229, 0.224, 0.225)
CLIP_MEAN: PerChannel = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: PerChannel = (0.26862954, 0.26130258, 0.27577711)


def prepared(
    x_0: Tensor,
    size: tuple[int, ...],
    mean: PerChannel,
    std: PerChannel,
    antialias: bool = True,
    dtype: torch.dtype = torch.float32,
    interpolation: Literal["bicubic", "bilinear"] = "bicubic",
) -> Tensor:
    """Prepare images for a published network.

    Args:
        x_0: images, `(B, 3, H, W)`, in [-1, 1].
        size: height and width that the network wants.
        mean: mean of the images that it was trained on, in [0, 1].
        std: their standard deviation.
        antialias: whether to resize as PIL does, by which the networks were trained: the filter widens where an image
            gets smaller, and if bicubic is Catmull and Rom's (a = -0.5). Without, it never widens, and if bicubic is
            that of a = -0.75.
        dtype: type of the result. All before is computed in float32.
        interpolation: which filter resizes.

    Returns:
        `v`, `(B, 3, *size)`.
    """
    u = (x_0.float() + 1) / 2
    if u.shape[-2:] != size:
        u = interpolated(u, size, interpolation, antialias)
    return ((u - u.new_tensor(mean)[:, None, None]) / u.new_tensor(std)[:, None, None]).to(dtype)
