"""JPEG compression, with a gradient.

Colours become brightness and two colour differences, the differences lose half their resolution, each block of 8 x 8
values is turned into its cosine transform `c`, and each coefficient is rounded to a multiple of its step `q`:

    A = T^-1 (q round(c / q)),    c = T x_0

ITU-T T.81, annexes A and K; colours, sampling and border as in JFIF (T.871) and as `libjpeg` does them by default. What
is rounded has no gradient of its own. In its place stands that of the cubic of Shin & Song, "JPEG-resistant Adversarial
Images", NIPS workshop 2017,

    round(c) + (c - round(c))^3

while the value stays the rounded one, as in Reich et al., "Differentiable JPEG: The Devil is in the Details", WACV
2024.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from dis_lightning.errors import InvalidValueError, require_whole
from dis_lightning.operators.base import GaussianOperator

__all__ = ["JPEG"]

# Steps at quality 50, by frequency (down, across): T.81, tables K.1 and K.2.
BRIGHTNESS = [
    [16, 11, 10, 16, 24, 40, 51, 61],
    [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77],
    [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101],
    [72, 92, 95, 98, 112, 100, 103, 99],
]
DIFFERENCE = [
    [17, 18, 24, 47, 99, 99, 99, 99],
    [18, 21, 26, 66, 99, 99, 99, 99],
    [24, 26, 56, 99, 99, 99, 99, 99],
    [47, 66, 99, 99, 99, 99, 99, 99],
    *[[99] * 8] * 4,
]


class JPEG(GaussianOperator):
    """The picture after JPEG compression with halved colour resolution (4:2:0).

    On 8-bit images it is within rounding of what `libjpeg` decodes. A coefficient that already is a multiple of its
    step has no gradient; a black picture has none at all.

    Args:
        quality: 1 (worst) to 100, in the scale of the Independent JPEG Group.
        noise_std: standard deviation of the noise on `y`.

    Raises:
        ValueError: if `quality` is out of range or, when measuring, an image has not three channels.
    """

    colours: Tensor
    colours_back: Tensor
    cosines: Tensor
    steps: Tensor

    def __init__(self, quality: int, noise_std: float = 0.0) -> None:
        super().__init__(noise_std)
        require_whole(self, 1, 100, quality=quality)
        self.quality = quality
        colours = _colours()
        self.register_buffer("colours", colours, persistent=False)
        self.register_buffer("colours_back", torch.linalg.inv(colours), persistent=False)
        self.register_buffer("cosines", _cosines(), persistent=False)
        self.register_buffer("steps", _steps(quality), persistent=False)

    def forward(self, x_0: Tensor) -> Tensor:
        """Decompressed images, `(B, 3, H, W)`, in [-1, 1]."""
        if x_0.shape[1] != 3:
            raise InvalidValueError(f"JPEG needs images with 3 channels (red, green, blue), but got {x_0.shape[1]}.")
        height, width = x_0.shape[-2:]
        # Whole blocks of 16 pixels across, 8 in the halved colours. Down, libjpeg halves the rows first; what it then
        # repeats to fill blocks of 8 is the last row of brightness and the last of the halved colours, each its own.
        padded = F.pad(x_0, (0, -width % 16, 0, height % 2), mode="replicate")
        values = torch.einsum("kc, bchw -> bkhw", self.colours.to(x_0), 127.5 * padded)
        # Brightness counts from the grey level 128, and 0 of [-1, 1] is 127.5.
        brightness = self._rounded(values[:, :1] - 0.5, self.steps[0]) + 0.5
        differences = self._rounded(F.avg_pool2d(values[:, 1:], 2), self.steps[1])
        # A decoder interpolates what belongs to the picture alone, not what fills its last blocks.
        differences = differences[..., : (height + 1) // 2, : (width + 1) // 2]
        differences = F.interpolate(differences, scale_factor=2, mode="bilinear", align_corners=False)
        restored = torch.cat([part[..., :height, :width] for part in (brightness, differences)], dim=1)
        return (torch.einsum("ck, bkhw -> bchw", self.colours_back.to(x_0), restored) / 127.5).clamp(-1, 1)

    def _rounded(self, values: Tensor, steps: Tensor) -> Tensor:
        """What is left of maps `(B, K, H, W)`, W a multiple of 8, after their cosine transforms are rounded.

        The height becomes a multiple of 8.
        """
        cosines, steps = self.cosines.to(values), steps.to(values)
        values = F.pad(values, (0, 0, 0, -values.shape[-2] % 8), mode="replicate")
        blocks = values.unflatten(-1, (-1, 8)).unflatten(-3, (-1, 8)).transpose(-2, -3)
        coefficients = steps * _round(cosines @ blocks @ cosines.T / steps)
        return (cosines.T @ coefficients @ cosines).transpose(-2, -3).flatten(-4, -3).flatten(-2, -1)


def _round(values: Tensor) -> Tensor:
    """The nearest integers, with the slope of Shin & Song's cubic."""
    rounded = values.detach().round()
    cubic = rounded + (values - rounded) ** 3
    return cubic + (rounded - cubic).detach()


def _colours() -> Tensor:
    """Red, green and blue to brightness and the differences of blue and red from it, `(3, 3)`."""
    brightness = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    red, _, blue = torch.eye(3, dtype=torch.float64)
    return torch.stack([brightness, (blue - brightness) / 1.772, (red - brightness) / 1.402])


def _cosines() -> Tensor:
    """The cosine transform of 8 values, an orthogonal matrix."""
    k = torch.arange(8, dtype=torch.float64)
    matrix = torch.cos(math.pi / 16 * k[:, None] * (2 * k + 1)) / 2
    matrix[0] /= math.sqrt(2)
    return matrix


def _steps(quality: int) -> Tensor:
    """The steps of brightness and colour differences, `(2, 8, 8)`."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    table = torch.tensor([BRIGHTNESS, DIFFERENCE])
    return ((table * percent + 50) // 100).clamp(1, 255).double()
