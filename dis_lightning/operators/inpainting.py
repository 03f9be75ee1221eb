"""Inpainting: some pixels are seen, the others are not.

A mask is a diagonal projection: `A = A^T = A^+ = A^2`. There are two kinds.

*One mask for all images.* Hidden pixels are 0 in `A(x_0)` and hold only noise in `y`, as in the papers' code.

*A mask for each image*, drawn from its noise. It is part of what was measured, so `y` carries it: a pixel that was not
seen is NaN. `A` itself is then the identity, of which `y` has some of the values, and whatever is NaN counts for
nothing: not in the distance, and as 0 in the adjoint and the pseudo-inverse. So `A^+ (y - A x_0)`, of which other
methods are made, is the residual at the pixels that were seen.
"""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError, require_numbers, require_whole
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import LinearOperator, tensor
from dis_lightning.operators.spectrum import Decomposition
from dis_lightning.types import Measurement

__all__ = ["BoxInpainting", "Inpainting", "RandomInpainting"]


class Inpainting(LinearOperator):
    """Some of the pixels are seen, the same in every channel.

    Args:
        noise_std: standard deviation of the noise on `y`.
        per_image: whether each image has a mask of its own.

    Attributes:
        drawn: whether masks of images' own come from their noise.
    """

    drawn: ClassVar[bool] = True

    def __init__(self, noise_std: float, per_image: bool) -> None:
        super().__init__(noise_std)
        self.per_image = per_image
        self._mask = torch.empty(0, 0)

    @abstractmethod
    def masks(self, height: int, width: int, noise: NoiseSource | None = None) -> Tensor:
        """Masks of images of a size, `(N, 1, H, W)`: 1 seen, 0 hidden.

        Args:
            height: H, in pixels.
            width: W, in pixels.
            noise: one stream per image for masks of their own; without it there is one mask for all.

        Raises:
            ValueError: if the mask does not fit the images, or would hide all of them.
        """

    @torch.inference_mode(False)  # a mask made in inference mode could never serve a gradient
    def mask(self, x_0: Tensor) -> Tensor:
        """The one mask of such images, `(H, W)`: 1 seen, 0 hidden.

        Raises:
            ValueError: if each image has a mask of its own, or the mask does not fit the images.
        """
        if self.per_image:
            raise InvalidValueError(
                f"{type(self).__name__} has no mask for all images here; use `~y.isnan()` of a measurement."
            )
        height, width = x_0.shape[-2:]
        if self._mask.shape != (height, width):
            self._mask = self.masks(height, width)[0, 0]
        self._mask = self._mask.to(x_0)
        return self._mask

    def forward(self, x_0: Tensor) -> Tensor:
        """Images with hidden pixels at 0, `(B, C, H, W)`; the images as they are where each has a mask of its own."""
        return x_0 if self.per_image else self.mask(x_0) * x_0

    def measure(self, x_0: Tensor, noise: NoiseSource) -> Tensor:
        """Measure with noise; see `Operator.measure`."""
        if not self.per_image:
            return super().measure(x_0, noise)
        height, width = x_0.shape[-2:]
        hidden = self.masks(height, width, noise).to(x_0.device) == 0
        return super().measure(x_0, noise).masked_fill(hidden, torch.nan)

    def adopt(self, y: Tensor, noise: NoiseSource, shape: tuple[int, ...]) -> Measurement:
        """See `Operator.adopt`; whatever the pictures show where nothing was seen counts for nothing."""
        seen = tensor(super().adopt(y, noise, shape))
        if not self.per_image:
            return self.mask(seen) * seen
        if self.drawn:
            raise InvalidValueError(
                f"{type(self).__name__} draws a mask for each image, which is not the one of your picture; name that "
                "by MaskInpainting."
            )
        height, width = seen.shape[-2:]
        return seen.masked_fill(self.masks(height, width, noise).to(seen.device) == 0, torch.nan)

    def adjoint(self, y: Tensor) -> Tensor:
        """What was seen, hidden pixels 0."""
        return _zero_where_missing(y, y) if self.per_image else self.mask(y) * y

    def pseudo_inverse(self, y: Tensor, damping: float = 0.0) -> Tensor:
        """What was seen, hidden pixels 0."""
        return self.adjoint(y) / (1 + damping)

    def decomposition(self, x: Tensor, y: Tensor) -> Decomposition:
        """See `LinearOperator.decomposition`: each pixel is a direction of its own."""
        seen = (~y.isnan()).to(x) if self.per_image else self.mask(x)
        return Decomposition(seen, _same, _same, self.adjoint)

    def picture(self, y: Measurement) -> Tensor:
        """What was seen, hidden pixels mid-grey."""
        return self.adjoint(tensor(y)).clamp(-1, 1)

    def compare(self, x_0: Tensor, y: Measurement) -> tuple[Tensor, Tensor]:
        """See `GaussianOperator.compare`."""
        measured, seen = super().compare(x_0, y)
        return (
            (_zero_where_missing(measured, seen), _zero_where_missing(seen, seen))
            if self.per_image
            else (measured, seen)
        )


class RandomInpainting(Inpainting):
    """A random share of the pixels is seen.

    Args:
        visible: share of the pixels that are seen, in (0, 1]; Purohit et al. 2024 use 0.1 (LSUN) and 0.2 (ImageNet-64).
            Or the least and the most of a share that is drawn evenly for each mask, as in the code of Chung et al. 2023
            (DPS): (0.3, 0.7).
        noise_std: standard deviation of the noise on `y`.
        seed: chooses the pixels of the mask for all images; it follows from the seed and the image's size alone.
        per_image: whether each image has a mask of its own, from its noise.

    Raises:
        ValueError: if `visible` is out of range or, when measuring, so small that an image has no visible pixel.
    """

    def __init__(
        self,
        visible: float | tuple[float, float],
        noise_std: float = 0.0,
        seed: int = 0,
        per_image: bool = False,
    ) -> None:
        super().__init__(noise_std, per_image)
        least, most = self._shares = visible if isinstance(visible, tuple) else (visible, visible)
        require_whole(self, 0, seed=seed)
        for share in self._shares:
            require_numbers(self, visible=share)
        if not 0 < least <= most <= 1:
            raise InvalidValueError(
                "RandomInpainting needs the visible share in (0, 1], or the least and the most of it, but got "
                f"{visible}."
            )
        self.visible = visible
        self.seed = seed

    def masks(self, height: int, width: int, noise: NoiseSource | None = None) -> Tensor:
        """See `Inpainting.masks`."""
        pixels, (least, most) = height * width, self._shares
        if round(least * pixels) == 0:
            raise InvalidValueError(f"visible={self.visible} of {height} x {width} pixels is none; use a larger share.")
        if noise is None:
            # A generator of its own: the streams of NoiseSource belong to the images.
            generator = torch.Generator().manual_seed(self.seed)
            order = torch.randperm(pixels, generator=generator)[None]
        else:
            order = noise.normal((len(noise), pixels)).argsort(dim=1)
        shares = torch.full((len(order), 1), least, dtype=torch.float64, device=order.device)
        if least < most:
            even = torch.rand(1, 1, generator=generator) if noise is None else noise.uniform((len(noise), 1))
            shares += (most - least) * even
        seen = torch.arange(pixels, device=order.device) < (shares * pixels).round()
        masks = torch.zeros(order.shape, device=order.device).scatter_(1, order, seen.float())
        return masks.reshape(-1, 1, height, width)


class BoxInpainting(Inpainting):
    """All but a box is seen.

    Chung et al. 2023 hide 128 of 256 pixels a side, at a random place at least 16 pixels from the border. All sizes
    here are shares of the image's height and width.

    Args:
        size: side of the box, in (0, 1).
        noise_std: standard deviation of the noise on `y`.
        position: the box's top and left, the same for all images; if not given, each image has a place of its own, from
            its noise.
        margin: the least distance from the border of a place that is drawn.

    Raises:
        ValueError: if the box is empty or the whole image, or does not fit into it.
    """

    def __init__(
        self,
        size: float = 0.5,
        noise_std: float = 0.0,
        position: tuple[float, float] | None = None,
        margin: float = 1 / 16,
    ) -> None:
        super().__init__(noise_std, per_image=position is None)
        require_numbers(self, size=size, margin=margin)
        corners = (margin, 1 - size - margin) if position is None else position
        if not 0 < size < 1 or not all(0 <= corner <= 1 - size for corner in corners):
            raise InvalidValueError(
                "BoxInpainting needs size in (0, 1) and a box inside the image, all in shares of its side, but got "
                f"size={size}, position={position}, margin={margin}."
            )
        self.size = size
        self.position = position
        self.margin = margin

    def masks(self, height: int, width: int, noise: NoiseSource | None = None) -> Tensor:
        """See `Inpainting.masks`."""
        if self.position is not None:
            places = torch.tensor([self.position])
        else:
            assert noise is not None  # `mask` refuses
            places = self.margin + noise.uniform((len(noise), 2)) * (1 - self.size - 2 * self.margin)
        rows, columns = (self._hidden(places[:, axis], side) for axis, side in enumerate((height, width)))
        masks = 1 - rows[:, None, :, None] * columns[:, None, None, :]
        if not (masks.flatten(1).any(dim=1).all() and (masks == 0).any()):
            raise InvalidValueError(
                f"A box of size={self.size} of {height} x {width} pixels is empty or hides all; use larger images."
            )
        return masks

    def _hidden(self, places: Tensor, side: int) -> Tensor:
        """Which pixels of an axis the boxes cover, `(N, side)`: 1 covered."""
        length = round(self.size * side)
        first = (places * side).round().clamp(max=side - length)[:, None]
        pixel = torch.arange(side, device=places.device)
        return ((pixel >= first) & (pixel < first + length)).float()


def _same(x: Tensor) -> Tensor:
    return x


def _zero_where_missing(values: Tensor, y: Tensor) -> Tensor:
    return values.masked_fill(y.isnan(), 0.0)
