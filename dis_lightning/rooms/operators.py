"""Measurements of rooms by the small networks that ship with the package.

A reader gives three of them, all `y = argmax` of its logits: what each pixel shows, the surface of the empty room
behind it, and the class. A captioner gives the fourth: the caption of the grammar that fits the picture best,

    y = argmax_c P(match | x_0, c),    distance = energy = -log P(match | x_0, y)

The networks that guide are the defaults; those that judge are given as arguments, to metrics.
"""

from abc import ABC

import torch
from torch import Tensor
from torch.nn import functional as F

from dis_lightning.errors import InvalidValueError
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import LabelOperator, Operator, TextOperator
from dis_lightning.operators.texts import texts
from dis_lightning.rooms.captioners import Captioner
from dis_lightning.rooms.captions import all_captions, tokens
from dis_lightning.rooms.readers import Reader, Reading
from dis_lightning.rooms.trained import rooms_captioner_a, rooms_reader_a
from dis_lightning.rooms.world import LAYOUT_CLASSES, ROOM_CLASSES, SEGMENTATION_CLASSES
from dis_lightning.types import Measurement
from dis_lightning.weights import LazyNetwork

__all__ = ["ReaderOperator", "RoomsCaption", "RoomsClass", "RoomsLayout", "RoomsSegmentation"]

CHUNK = 2000
"""Captions that are read at once."""


class ReaderOperator(LabelOperator, ABC):
    """One of the things that a reader says about rooms, pictures `(B, 3, H, W)`, H and W multiples of 8.

    The reader works in float32; its logits have the type of the pictures.

    Args:
        classes: names of the classes.
        reader: who reads; by default `rooms_reader_a`, read from its file on first use.

    Attributes:
        reader: the reader.
    """

    def __init__(self, classes: tuple[str, ...], reader: Reader | None) -> None:
        super().__init__(classes)
        self.reader = LazyNetwork(rooms_reader_a, "rooms_reader_a") if reader is None else LazyNetwork(reader)

    def reading(self, x_0: Tensor) -> Reading:
        """All that the reader says about pictures, in their type.

        Raises:
            ValueError: if a side of the pictures is no multiple of 8.
        """
        _check(x_0, self)
        return Reading(*(logits.to(x_0.dtype) for logits in self.reader(x_0.float())))


class RoomsSegmentation(ReaderOperator):
    """What each pixel shows, over `SEGMENTATION_CLASSES`: `y` is `(B, H, W)`.

    Args:
        reader: who reads; by default `rooms_reader_a`.
    """

    def __init__(self, reader: Reader | None = None) -> None:
        super().__init__(SEGMENTATION_CLASSES, reader)

    def forward(self, x_0: Tensor) -> Tensor:
        """Logits, `(B, 8, H, W)`."""
        return self.reading(x_0).segmentation


class RoomsLayout(ReaderOperator):
    """The surface of the empty room behind each pixel, over `LAYOUT_CLASSES`: `y` is `(B, H, W)`.

    Args:
        reader: who reads; by default `rooms_reader_a`.
    """

    def __init__(self, reader: Reader | None = None) -> None:
        super().__init__(LAYOUT_CLASSES, reader)

    def forward(self, x_0: Tensor) -> Tensor:
        """Logits, `(B, 5, H, W)`."""
        return self.reading(x_0).layout


class RoomsClass(ReaderOperator):
    """The class of the room, over `ROOM_CLASSES`: `y` is `(B,)`.

    Args:
        reader: who reads; by default `rooms_reader_a`.
    """

    def __init__(self, reader: Reader | None = None) -> None:
        super().__init__(ROOM_CLASSES, reader)

    def forward(self, x_0: Tensor) -> Tensor:
        """Logits, `(B, 6)`."""
        return self.reading(x_0).label


class RoomsCaption(TextOperator):
    """The caption that fits a picture `(3, H, W)`, H and W multiples of 8, best: `y` is a list of B sentences.

    Sentences of one's own may be given to `distance` and `energy`, of words of the grammar.

    Args:
        captioner: who matches pictures and words; by default `rooms_captioner_a`, read from its file on first use.

    Attributes:
        captioner: the captioner.
    """

    def __init__(self, captioner: Captioner | None = None) -> None:
        super().__init__()
        self.captioner = (
            LazyNetwork(rooms_captioner_a, "rooms_captioner_a") if captioner is None else LazyNetwork(captioner)
        )
        self._told = torch.empty(0, 0)  # unit vectors of all captions

    def forward(self, x_0: Tensor) -> Tensor:
        """The captioner's unit vectors of pictures, `(B, D)`.

        Raises:
            ValueError: if a side of the pictures is no multiple of 8.
        """
        _check(x_0, self)
        return self.captioner.ready(x_0).see(x_0.float()).to(x_0.dtype)

    def measure(self, x_0: Tensor, noise: NoiseSource) -> list[str]:
        """The best of all captions for each picture."""
        captions = all_captions()
        return [captions[best] for best in (self(x_0).float() @ self._all_told(x_0).T).argmax(dim=1).tolist()]

    def distance(self, x_0: Tensor, y: Measurement) -> Tensor:
        """`-log P(match)`, per image.

        Raises:
            TypeError: if the captions are a tensor.
            ValueError: if there is not one for each picture, or one has words that no caption of a room has.
        """
        captioner = self.captioner.ready(x_0)
        cosines = (self(x_0) * captioner.read(tokens(texts(y, len(x_0))).to(x_0.device))).sum(dim=1)
        return F.softplus(-captioner.logits(cosines)).to(x_0.dtype)

    def energy(self, x_0: Tensor, y: Measurement) -> Tensor:
        """The distance."""
        return self.distance(x_0, y)

    @torch.inference_mode(False)
    @torch.no_grad()
    def _all_told(self, x_0: Tensor) -> Tensor:
        if len(self._told) == 0:
            words = tokens(all_captions()).to(x_0.device).split(CHUNK)
            self._told = torch.cat([self.captioner.ready(x_0).read(some) for some in words])
        self._told = self._told.to(x_0.device)
        return self._told


def _check(x_0: Tensor, operator: Operator) -> None:
    if x_0.shape[-2] % 8 or x_0.shape[-1] % 8:
        raise InvalidValueError(
            f"{type(operator).__name__} needs pictures whose sides are multiples of 8, but got "
            f"{x_0.shape[-2]} x {x_0.shape[-1]}; give the data another size (--data.size=32)."
        )
