"""How pictures of any size become pictures of one size, each as its source did it for squares.

All smooth before they sample (the filter widens with the reduction), work on 8-bit RGB and enlarge what is too small.
The names say what is done, in its order.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from PIL import Image

from dis_lightning.described import Described
from dis_lightning.errors import require_whole

__all__ = [
    "CenterCropLanczos",
    "ExactResize",
    "ImageTransform",
    "ShorterSideBicubic",
    "ShorterSideBilinear",
    "ShorterSideBox",
]

Size = int | tuple[int, int]
"""The side of a square, or height and width."""


class ImageTransform(Described, ABC):
    """A change of size of one picture."""

    @abstractmethod
    def __call__(self, image: Image.Image) -> Image.Image:
        """Give the changed picture.

        Args:
            image: a picture of any size, 8-bit RGB.

        Returns:
            8-bit RGB, normally of the same size for every picture.
        """


@dataclass(frozen=True)
class _Resizing(ImageTransform):
    """A change to one size."""

    size: Size

    def __post_init__(self) -> None:
        sides = self.size if isinstance(self.size, tuple | list) and len(self.size) == 2 else [self.size]
        for side in sides:
            require_whole(self, 1, size=side)

    @property
    def height(self) -> int:
        """Of the result, in pixels."""
        return self.size if isinstance(self.size, int) else self.size[0]

    @property
    def width(self) -> int:
        """Of the result, in pixels."""
        return self.size if isinstance(self.size, int) else self.size[1]

    def _covers(self, image: Image.Image) -> tuple[int, int]:
        """The ratio, as two numbers, by which a picture is made as small as still covers the result: square or not."""
        width, height = image.size
        by_height = self.height * width >= self.width * height
        return (self.height, height) if by_height else (self.width, width)

    def _middle(self, image: Image.Image, filter: Image.Resampling) -> Image.Image:
        """Make a picture as small as still covers the result, and cut its middle, as guided-diffusion counts pixels."""
        to, there = self._covers(image)
        width, height = (round(to / there * length) for length in image.size)
        left, top = (width - self.width) // 2, (height - self.height) // 2
        return _crop(image.resize((width, height), filter), left, top, self.width, self.height)


@dataclass(frozen=True)
class CenterCropLanczos(_Resizing):
    """The largest square in the middle, or other shape of `size`, then Lanczos to `size`.

    What the data set tools of NVIDIA's StyleGAN and EDM call `center-crop`; the likely source of the images of
    Xu et al. 2024 (LSUN bedroom and cat, 256).

    Args:
        size: side of the result in pixels, or height and width, >= 1.

    Raises:
        ValueError: if `size` is below 1.
    """

    size: Size = 256

    def __call__(self, image: Image.Image) -> Image.Image:
        """See the class."""
        to, there = self._covers(image)
        width, height = (max(1, side * there // to) for side in (self.width, self.height))
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return _crop(image, left, top, width, height).resize((self.width, self.height), Image.Resampling.LANCZOS)


@dataclass(frozen=True)
class ShorterSideBicubic(_Resizing):
    """Halved with a box filter as often as `size` allows, the shorter side to `size` bicubically, then the middle.

    How OpenAI's guided-diffusion reads ImageNet to train on, and EDM's data set tools under the name
    `center-crop-dhariwal`. To sizes that are not square the picture is made as small as still covers them.

    Args:
        size: side of the result in pixels, or height and width, >= 1.

    Raises:
        ValueError: if `size` is below 1.
    """

    size: Size = 256

    def __call__(self, image: Image.Image) -> Image.Image:
        """See the class."""
        while image.width >= 2 * self.width and image.height >= 2 * self.height:
            image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
        return self._middle(image, Image.Resampling.BICUBIC)


@dataclass(frozen=True)
class ShorterSideBilinear(_Resizing):
    """The shorter side to `size` with a bilinear filter, then the middle of that size.

    To sizes that are not square the picture is made as small as still covers them.

    torchvision's `Resize(size)` and `CenterCrop(size)`, with which Purohit et al. 2024 read LSUN bedroom (256).

    Args:
        size: side of the result in pixels, or height and width, >= 1.

    Raises:
        ValueError: if `size` is below 1.
    """

    size: Size = 256

    def __call__(self, image: Image.Image) -> Image.Image:
        """See the class."""
        to, there = self._covers(image)
        # Multiplied first and cut off, as torchvision does.
        width, height = (to * length // there for length in image.size)
        resized = image.resize((width, height), Image.Resampling.BILINEAR)
        # torchvision rounds half a pixel to the even number.
        left, top = round((width - self.width) / 2), round((height - self.height) / 2)
        return _crop(resized, left, top, self.width, self.height)


@dataclass(frozen=True)
class ExactResize(_Resizing):
    """Bilinear to `size`; pictures of another shape are distorted.

    torchvision's `Resize((size, size))`, with which Purohit et al. 2024 read ImageNet (64).

    Args:
        size: side of the result in pixels, or height and width, >= 1.

    Raises:
        ValueError: if `size` is below 1.
    """

    size: Size = 64

    def __call__(self, image: Image.Image) -> Image.Image:
        """See the class."""
        return image.resize((self.width, self.height), Image.Resampling.BILINEAR)


@dataclass(frozen=True)
class ShorterSideBox(_Resizing):
    """The shorter side to `size` with a box filter, then the middle of that size.

    How OpenAI's guided-diffusion prepared LSUN (256) to train on: what the published networks have seen. To sizes that
    are not square the picture is made as small as still covers them.

    Args:
        size: side of the result in pixels, or height and width, >= 1.

    Raises:
        ValueError: if `size` is below 1.
    """

    size: Size = 256

    def __call__(self, image: Image.Image) -> Image.Image:
        """See the class."""
        return self._middle(image, Image.Resampling.BOX)


def _crop(image: Image.Image, left: int, top: int, width: int, height: int) -> Image.Image:
    return image.crop((left, top, left + width, top + height))
