"""What a run folder keeps of an image beside its samples."""

from typing import NamedTuple

from torch import Tensor

from dis_lightning.errors import InvalidTypeError, InvalidValueError
from dis_lightning.images import quantise
from dis_lightning.operators.base import LabelOperator, Operator
from dis_lightning.types import Measurement, Reconstruction

__all__ = ["Kept", "pictures_of", "to_keep"]


class Kept(NamedTuple):
    """What is kept of the image of a batch beside its samples."""

    name: str
    """Where the image came from."""
    source: Tensor | None
    """The clean image, 8 bit, `(C, H, W)`; None where nobody knows it."""
    measurement: Tensor | str
    """The measurement itself."""
    picture: Tensor
    """The measurement as a picture, 8 bit: `(C, h, w)`, or classes `(h, w)` where there is a palette."""
    palette: Tensor | None = None
    """Colours of the classes, 8 bit, `(K, 3)`."""
    label: int | None = None
    """The class of the image, where it is known."""
    classes: tuple[str, ...] = ()
    """Names of the classes that the palette colours."""


def to_keep(outputs: Reconstruction, operator: Operator) -> list[Kept]:
    """What is kept of every image of a batch."""
    images, values = len(outputs.names), outputs.measurement
    sources = [None] * images if outputs.source is None else list(outputs.source)
    labels = [None] * images if outputs.labels is None else outputs.labels.tolist()
    pictures, palette = pictures_of(values, operator)
    classes = operator.classes if isinstance(operator, LabelOperator) else ()
    return [
        Kept(name, source, value, picture, palette, label, classes)
        for name, source, value, picture, label in zip(outputs.names, sources, values, pictures, labels, strict=True)
    ]


def pictures_of(measurement: Measurement, operator: Operator) -> tuple[Tensor, Tensor | None]:
    """Measurements as 8-bit pictures, or maps of classes with the palette that colours them.

    Raises:
        TypeError: if a measurement is neither a tensor nor texts.
        ValueError: if the operator's pictures are none.
    """
    name = type(operator).__name__
    words = isinstance(measurement, list) and all(isinstance(text, str) for text in measurement)
    if not isinstance(measurement, Tensor) and not words:
        raise InvalidTypeError(
            f"{name}.measure gives a tensor (B, ...) or a list of B texts, but gave {measurement!r}."
        )
    if isinstance(operator, LabelOperator) and isinstance(measurement, Tensor) and measurement.ndim == 3:
        return measurement, operator.palette
    pictures = operator.picture(measurement)
    shape = tuple(pictures.shape)
    if len(shape) != 4 or shape[0] != len(measurement) or shape[1] not in (1, 3):
        raise InvalidValueError(
            f"{name}.picture gives pictures (B, 3, h, w) or (B, 1, h, w), but gave {shape} for {len(measurement)} "
            "measurements; leave the method out for pictures of any measurement."
        )
    return quantise(pictures), None
