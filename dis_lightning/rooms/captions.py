"""The captions of rooms: six facts, and all the sentences that can be said of them.

A caption answers six questions, each from a short list of answers, and nothing else:

    walls 7  x  bed 6  x  window, where and at what time 10  x  picture 4  x  lamp 3  x  rug 6  =  30,240 captions

An answer is a number, 0 where the thing is not there. The sentence itself is that of `world.describe`, which is given a
scene that has just these facts: there is one grammar.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError
from dis_lightning.rooms.colours import BED_PAINTS, RUG_PAINTS, SKIES, WALL_PAINTS
from dis_lightning.rooms.scene import WALL_NAMES, Lamp, Painting, Panel, Rug, Scene, Window
from dis_lightning.rooms.world import caption_of, draw_scene

__all__ = ["ANSWERS", "LENGTH", "Facts", "all_captions", "caption", "facts", "tokens", "vocabulary"]


class Facts(NamedTuple):
    """The answers that a caption gives about a room."""

    walls: int
    """Their colour."""
    bed: int
    """Its colour, the room's class."""
    window: int
    """0 for none, else 1 + 3 wall + time, the time being day, evening or night."""
    picture: int
    """0 for none, else 1 + wall."""
    lamp: int
    """None, standing or hanging."""
    rug: int
    """0 for none, else 1 + colour."""


ANSWERS = Facts(
    walls=len(WALL_PAINTS),
    bed=len(BED_PAINTS),
    window=1 + len(WALL_NAMES) * len(SKIES),
    picture=1 + len(WALL_NAMES),
    lamp=3,
    rug=1 + len(RUG_PAINTS),
)
"""Number of answers to each question."""

LENGTH = 32
"""Most words that a caption may have; the longest of the grammar has 30."""

GREY = (0.5, 0.5, 0.5)


def facts(scene: Scene) -> Facts:
    """What a caption says of a room, as numbers."""
    window, picture, lamp, rug = scene.window, scene.picture, scene.lamp, scene.rug
    return Facts(
        walls=[paint.name for paint in WALL_PAINTS].index(scene.shell.wall_name),
        bed=scene.bed.paint,
        window=1 + len(SKIES) * window.panel.wall + SKIES.index(window.outside) if window else 0,
        picture=1 + picture.panel.wall if picture else 0,
        lamp=1 + lamp.hanging if lamp else 0,
        rug=1 + [paint.name for paint in RUG_PAINTS].index(rug.name) if rug else 0,
    )


def caption(known: Facts) -> str:
    """The sentence that says these facts."""
    room = _any_room()
    wall, time = divmod(known.window - 1, len(SKIES))
    return caption_of(
        room._replace(
            shell=room.shell._replace(wall_name=WALL_PAINTS[known.walls].name),
            bed=room.bed._replace(paint=known.bed),
            window=Window(_panel(wall), SKIES[time], GREY, GREY, 1, 1) if known.window else None,
            picture=Painting(_panel(known.picture - 1), GREY, GREY, GREY, GREY) if known.picture else None,
            lamp=Lamp(known.lamp == 2, 0, 0, 0, 0, 0, 0, GREY, GREY) if known.lamp else None,
            rug=Rug(0, 0, 0, 0, RUG_PAINTS[known.rug - 1].name, GREY, GREY) if known.rug else None,
        )
    )


@functools.cache
def all_captions() -> tuple[str, ...]:
    """Every sentence of the grammar, the answers to the last question running fastest."""
    return tuple(caption(Facts(*answers)) for answers in itertools.product(*map(range, ANSWERS)))


@functools.cache
def vocabulary() -> tuple[str, ...]:
    """Every word of the grammar, in alphabetical order."""
    nothing = Facts(0, 0, 0, 0, 0, 0)
    changed = (nothing._replace(**{name: k}) for name, n in ANSWERS._asdict().items() for k in range(n))
    return tuple(sorted({word for known in changed for word in _words(caption(known))}))


def tokens(captions: Sequence[str]) -> Tensor:
    """Captions as numbers of words, `(N, 32)`: 1 + the place in the vocabulary, and 0 after the last word.

    Raises:
        ValueError: if a caption has no words, too many, or one that no caption of a room has.
    """
    known = {word: 1 + place for place, word in enumerate(vocabulary())}
    rows = torch.zeros(len(captions), LENGTH, dtype=torch.long)
    for row, text in zip(rows, captions, strict=True):
        words = _words(text)
        strange = [word for word in words if word not in known]
        if strange or not 0 < len(words) <= LENGTH:
            raise InvalidValueError(
                f"A caption of a room has 1 .. {LENGTH} words, all among {', '.join(known)}; but got {text!r}"
                + (f", with {', '.join(strange)}." if strange else f", with {len(words)}.")
            )
        row[: len(words)] = torch.tensor([known[word] for word in words])
    return rows


def _words(text: str) -> list[str]:
    return text.lower().replace(",", " ").split()


def _panel(wall: int) -> Panel:
    return Panel(wall, 0, 0, 0, 0)


@functools.cache
def _any_room() -> Scene:
    return draw_scene("words", 0)
