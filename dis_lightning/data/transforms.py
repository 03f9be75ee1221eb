"""How pictures of any size become squares of one size, each as its source did it.

All smooth before they sample (the filter widens with the reduction), work on 8-bit RGB and enlarge what is too small.
The names say what is done, in its order.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from PIL import Image

from dis_lightning.data.arguments import require_whole
from dis_lightning.described import Described

__all__ = ["CenterCropLanczos", "ExactResize", "ImageTransform", "ShorterSideBilinear", "ShorterSideBox"]


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
class CenterCropLanczos(ImageTransform):
    """The largest square in the middle, then Lanczos to `size` x `size`.

    What the data set tools of NVIDIA's StyleGAN and EDM call `center-crop`; the likely source of the images of
    Xu et al. 2024 (LSUN bedroom and cat, 256).

    Args:
        size: side of the result in pixels, >= 1.

    Raises:
        ValueError: if `size` is below 1.
    """

    size: int = 256

    def __post_init__(self) -> None:
        require_whole(self, 1, size=self.size)

    def __call__(self, image: Image.Image) -> Image.Image:
        """See the class."""
        side = min(image.size)
        left, top = ((length - side) // 2 for length in image.size)
        return _crop(image, left, top, side).resize((self.size, self.size), Image.Resampling.LANCZOS)


@dataclass(frozen=True)
class ShorterSideBilinear(ImageTransform):
    """The shorter side to `size` with a bilinear filter, then the middle `size` x `size`.

    torchvision's `Resize(size)` and `CenterCrop(size)`, with which Purohit et al. 2024 read LSUN bedroom (256).

    Args:
        size: side of the result in pixels, >= 1.

    Raises:
        ValueError: if `size` is below 1.
    """

    size: int = 256

    def __post_init__(self) -> None:
        require_whole(self, 1, size=self.size)

    def __call__(self, image: Image.Image) -> Image.Image:
        """See the class."""
        shorter = min(image.size)
        # Multiplied first and cut off, as torchvision does.
        width, height = (self.size * length // shorter for length in image.size)
        resized = image.resize((width, height), Image.Resampling.BILINEAR)
        # torchvision rounds half a pixel to the even number.
        left, top = (round((length - self.size) / 2) for length in resized.size)
        return _crop(resized, left, top, self.size)


@dataclass(frozen=True)
class ExactResize(ImageTransform):
    """Bilinear to `size` x `size`; pictures that are not square are distorted.

    torchvision's `Resize((size, size))`, with which Purohit et al. 2024 read ImageNet (64).

    Args:
        size: side of the result in pixels, >= 1.

    Raises:
        ValueError: if `size` is below 1.
    """

    size: int = 64

    def __post_init__(self) -> None:
        require_whole(self, 1, size=self.size)

    def __call__(self, image: Image.Image) -> Image.Image:
        """See the class."""
        return image.resize((self.size, self.size), Image.Resampling.BILINEAR)


@dataclass(frozen=True)
class ShorterSideBox(ImageTransform):
    """The shorter side to `size` with a box filter, then the middle `size` x `size`.

    How OpenAI's guided-diffusion prepared LSUN (256) to train on: what the published networks have seen.

    Args:
        size: side of the result in pixels, >= 1.

    Raises:
        ValueError: if `size` is below 1.
    """

    size: int = 256

    def __post_init__(self) -> None:
        require_whole(self, 1, size=self.size)

    def __call__(self, image: Image.Image) -> Image.Image:
        """See the class."""
        scale = self.size / min(image.size)
        width, height = (round(scale * length) for length in image.size)
        resized = image.resize((width, height), Image.Resampling.BOX)
        left, top = ((length - self.size) // 2 for length in resized.size)
        return _crop(resized, left, top, self.size)


def _crop(image: Image.Image, left: int, top: int, side: int) -> Image.Image:
    return image.crop((left, top, left + side, top + side))
