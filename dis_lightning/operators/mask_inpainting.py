"""Inpainting with masks that somebody made; see `dis_lightning.operators.inpainting`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dis_lightning.errors import InvalidValueError, MissingFileError, MissingPackageError
from dis_lightning.files import expanded
from dis_lightning.images.files import find_files, open_picture
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.inpainting import Inpainting

__all__ = ["MaskInpainting"]


class MaskInpainting(Inpainting):
    """A mask from a file, the same for all images; or a folder of masks, one for each image.

    Mask k of a folder is that of the image with index k: both are counted from 0 and sorted by their paths, so that
    `10.png` comes before `2.png`. Where masks have names of images, beside the ending, they must meet in this order.

    Args:
        file: a picture (seen where it is brighter than half), a `.npy` array (seen where it is not 0) of shape
            `(H, W)`, perhaps with further axes of length 1, or a folder of such.
        noise_std: standard deviation of the noise on `y`.
        invert: whether these are the hidden pixels instead: a mask with white holes.
        alpha: whether a picture is seen where it is more than half opaque, whatever its colours: a picture with a hole.

    Raises:
        FileNotFoundError: if there is no such file, or no mask in the folder.
        OSError: if the folder cannot be read.
        ValueError: if a mask cannot be read or has numbers that are not finite, if it is no single map or hides all or
            nothing; before sampling, if it has not the size of the images, or there is none for an image, or another's.
    """

    seen: Tensor | None
    drawn: ClassVar[bool] = False

    def __init__(self, file: str, noise_std: float = 0.0, invert: bool = False, alpha: bool = False) -> None:
        path = expanded(file)
        super().__init__(noise_std, per_image=path.is_dir())
        self.file = file
        self.invert = invert
        self.alpha = alpha
        self._folder = path
        self._names = find_files(path, also=(".npy",), by_name=True) if self.per_image else []
        if self.per_image and not self._names:
            raise MissingFileError(f"{path} holds no masks; put a picture or a .npy array there for each image.")
        self.register_buffer("seen", None if self.per_image else _read(path, invert, alpha), persistent=False)

    def accept(self, shape: tuple[int, ...]) -> None:
        """See `Operator.accept`."""
        self._mask_of(0, *shape[-2:])

    def require(self, names: Sequence[str]) -> None:
        """See `Operator.require`; reads every mask of the run."""
        if not self.per_image:
            return
        size = self._mask_of(0).shape
        masks, images = ([PurePosixPath(name).with_suffix("") for name in those] for those in (self._names, names))
        named = not {mask.name for mask in masks}.isdisjoint(image.name for image in images)
        for index, image in enumerate(images):
            self._mask_of(index, *size)
            parts = min(len(image.parts), len(masks[index].parts))
            if named and image.parts[-parts:] != masks[index].parts[-parts:]:
                raise InvalidValueError(
                    f"Image {index} is {names[index]}, but mask {index} of {self.file} is {self._names[index]}; give a "
                    "mask for each image in their order, or names that no image has."
                )

    def masks(self, height: int, width: int, noise: NoiseSource | None = None) -> Tensor:
        """See `Inpainting.masks`."""
        indices = [0] if noise is None else noise.indices
        return torch.stack([self._mask_of(index, height, width) for index in indices])[:, None]

    def _mask_of(self, index: int, *size: int) -> Tensor:
        """The mask of an image, `(H, W)`, of a size."""
        if self.seen is not None:
            file, mask = self._folder, self.seen
        elif index < len(self._names):
            file = self._folder / self._names[index]
            mask = _read(file, self.invert, self.alpha)
        else:
            raise InvalidValueError(
                f"{self._folder} holds masks for {len(self._names)} images, but there is an image {index}; add masks, "
                f"or take fewer images (--data.num_images={len(self._names)})."
            )
        if size and mask.shape != size:
            raise InvalidValueError(
                f"The mask {file} has {tuple(mask.shape)} pixels and the images have {size}; give a mask of their size."
            )
        return mask


def _read(file: Path, invert: bool, alpha: bool) -> Tensor:
    """A mask from a file, `(H, W)`: 1 seen, 0 hidden."""
    if not file.is_file():
        raise MissingFileError(f"There is no mask {file}; give a picture or a .npy array.")
    if file.suffix == ".npy":
        seen, where = _seen_in_array(file, alpha), "not 0"
    else:
        seen, where = _seen_in_picture(file, alpha), "more than half opaque" if alpha else "brighter than half"
    if seen.all() or not seen.any():
        raise InvalidValueError(
            f"The mask {file} must show some pixels and hide others, but is {where} "
            f"{'everywhere' if seen.all() else 'nowhere'}."
        )
    return torch.from_numpy(seen != invert).float()


def _seen_in_array(file: Path, alpha: bool) -> NDArray[np.bool]:
    with _told_by_name(file):
        stored = np.load(file, allow_pickle=False)
        values = np.asarray(stored.real, dtype=np.float64)
    if np.iscomplexobj(stored):
        raise InvalidValueError(f"The mask {file} holds complex numbers; write 0 where a pixel is hidden, 1 elsewhere.")
    values = values.squeeze() if values.ndim > 2 else values
    if values.ndim != 2 or alpha:
        raise InvalidValueError(
            f"The mask {file} must be one map, (H, W), but has the shape {values.shape}"
            + ("; an array has no alpha channel." if alpha else ".")
        )
    if not np.isfinite(values).all():
        raise InvalidValueError(
            f"The mask {file} has {int((~np.isfinite(values)).sum())} values that are not finite, neither seen nor "
            "hidden; write 0 where a pixel is hidden and 1 where it is seen."
        )
    seen: NDArray[np.bool] = values != 0
    return seen


def _seen_in_picture(file: Path, alpha: bool) -> NDArray[np.bool]:
    with _told_by_name(file), file.open("rb") as stream:
        brightness, opacity = np.moveaxis(np.asarray(open_picture(stream).convert("RGBA").convert("LA")), 2, 0)
    if not alpha and opacity.min() < opacity.max():
        raise InvalidValueError(
            f"The mask {file} has transparent pixels: set alpha=true if these are the hidden ones, or save it without "
            "transparency if its brightness counts."
        )
    seen: NDArray[np.bool] = (opacity if alpha else brightness) > 127
    return seen


@contextmanager
def _told_by_name(file: Path) -> Iterator[None]:
    try:
        yield
    except MissingPackageError as error:
        raise MissingPackageError(f"The mask {file} cannot be read: {error}") from None
    except Exception as error:  # A damaged file fails in any way it likes.
        raise InvalidValueError(
            f"The mask {file} cannot be read ({type(error).__name__}): it is damaged, or no picture and no .npy array "
            "of numbers. Write it again."
        ) from None  # the command line shows the innermost cause alone
