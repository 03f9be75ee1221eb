"""What a solver takes for a batch: the check of what a DataLoader of anybody gives, before it costs anything."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from dis_lightning.errors import InvalidTypeError, InvalidValueError
from dis_lightning.images import GREY_LEVEL
from dis_lightning.priors.base import Denoiser
from dis_lightning.types import Batch

__all__ = ["require_batch"]

CONTRACT = (
    "A batch of B images is a dictionary: `image` (B, C, H, W), real numbers in [-1, 1] (or `measurement`, pictures "
    "that were measured, or `y`, measurements in the operator's own numbers); `index` (B,), a whole number >= 0 for "
    "each image, by which its noise and its files are known; `name`, B strings; and `label` (B,), the number of its "
    "class, for a class-conditional prior. The data sets of dis_lightning.data give such."
)


def require_batch(batch: object, prior: Denoiser) -> Batch:
    """Refuse what is no batch of images of a prior.

    Args:
        batch: what came.
        prior: whose images they should be.

    Returns:
        the batch.

    Raises:
        TypeError: if it is no dictionary, or if a value is of another type.
        ValueError: if something is missing, of another shape, not finite or out of range.
    """
    if not isinstance(batch, Mapping):
        raise InvalidTypeError(f"The batch is a {type(batch).__name__}. {CONTRACT}")
    what = next((key for key in ("image", "measurement", "y") if key in batch), "image")
    for key in (what, "index", "name"):
        if key not in batch:
            raise InvalidValueError(f"The batch has no `{key}`. {CONTRACT}")
    if "image" in batch:
        _require_images(batch["image"], tuple(prior.shape))
    number = len(_require_rows(what, batch[what]) if what == "y" else _require_range(what, batch[what]))
    index = _require_numbers("index", batch["index"], number)
    if not bool((index >= 0).all()) or len(index.unique()) < number:
        raise InvalidValueError(f"`index` is {index.tolist()}, but each image needs one of its own. {CONTRACT}")
    if not isinstance(batch["name"], list | tuple) or len(batch["name"]) != number:
        raise InvalidTypeError(f"`name` is no list of {number} strings, one for each image. {CONTRACT}")
    if prior.num_classes is not None:
        _require_labels(batch, number, prior.num_classes, type(prior).__name__)
    return cast(Batch, batch)


def _require_images(images: object, shape: tuple[int, ...]) -> None:
    if isinstance(images, Tensor) and (images.ndim != 1 + len(shape) or tuple(images.shape[1:]) != shape):
        sides = (
            "give the data a transform to that size (--data.transform; rooms: --data.size), set image_size of a prior "
        )
        ways = [f"{sides}that is a network"] if images.shape[2:] != shape[1:] else []
        if images.shape[1:2] != shape[:1]:
            ways.insert(0, f"read {'grey' if shape[0] == 1 else 'coloured'} images (--data.channels={shape[0]})")
        raise InvalidValueError(
            f"The prior is for images of shape {shape}, but the data has {tuple(images.shape[1:])}; "
            f"{', '.join(ways)}, or choose another prior."
        )


def _require_rows(key: str, values: object) -> Tensor:
    if not isinstance(values, Tensor) or values.ndim == 0 or len(values) == 0:
        raise InvalidTypeError(f"`{key}` is no tensor of a row for each image. {CONTRACT}")
    return values


def _require_range(key: str, images: object) -> Tensor:
    if not isinstance(images, Tensor) or not images.is_floating_point():
        came = f"a tensor of {images.dtype}" if isinstance(images, Tensor) else f"a {type(images).__name__}"
        raise InvalidTypeError(f"`{key}` is {came}; 8-bit values u become u / 127.5 - 1. {CONTRACT}")
    if len(images) == 0:
        raise InvalidValueError(f"`{key}` holds no image. {CONTRACT}")
    low, high = torch.stack(images.detach().aminmax()).tolist()  # both at once: the host waits for the device once
    if not (low >= -1 - GREY_LEVEL and high <= 1 + GREY_LEVEL):  # NaN is neither
        raise InvalidValueError(
            f"`{key}` has values from {low:g} to {high:g}; 8-bit values u become u / 127.5 - 1, and what a filter "
            f"overshoots is clamped. {CONTRACT}"
        )
    return images


def _require_labels(batch: Mapping[str, object], number: int, num_classes: int, prior: str) -> None:
    if "label" not in batch:
        raise InvalidValueError(
            f"{prior} is conditional on one of {num_classes} classes, but the data has no labels; use data with labels "
            "(--data=ImageNetData), or an unconditional prior."
        )
    labels = _require_numbers("label", batch["label"], number)
    if not bool(((labels >= 0) & (labels < num_classes)).all()):
        raise InvalidValueError(
            f"`label` is {labels.tolist()}, but the classes of {prior} are 0 .. {num_classes - 1}; give the images "
            "labels that the prior counts, or take a prior that knows their classes."
        )


def _require_numbers(key: str, values: object, number: int) -> Tensor:
    if not isinstance(values, Tensor) or values.is_floating_point() or values.is_complex():
        raise InvalidTypeError(f"`{key}` is no tensor of whole numbers. {CONTRACT}")
    if values.shape != (number,):
        raise InvalidValueError(
            f"`{key}` has the shape {tuple(values.shape)}, but there are {number} images. {CONTRACT}"
        )
    return values
