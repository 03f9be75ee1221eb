"""Named colours: a name stands for a small region of hue, saturation and value, so no two red beds are the same red."""

from collections.abc import Sequence
from colorsys import hsv_to_rgb
from typing import NamedTuple, TypeVar

from numpy.random import Generator

__all__ = ["BED_PAINTS", "FLOOR_PAINTS", "FRAME_COLOURS", "LAMP_COLOURS", "POLE_COLOURS", "RUG_PAINTS", "SKIES"]
__all__ += ["WALL_PAINTS", "Colour", "Paint", "Sky", "pick", "shaded"]

Colour = tuple[float, float, float]
"""Red, green and blue in [0, 1]."""

Choice = TypeVar("Choice")


class Paint(NamedTuple):
    """A colour family: its name and the box in HSV space its colours are drawn from.

    Attributes:
        name: the word a caption uses.
        hue: lower and upper hue in turns; may start below 0, where red lies.
        saturation: lower and upper saturation in [0, 1].
        value: lower and upper brightness in [0, 1].
    """

    name: str
    hue: tuple[float, float]
    saturation: tuple[float, float]
    value: tuple[float, float]

    def mix(self, rng: Generator) -> Colour:
        """Draw one colour of the family."""
        hue, saturation, value = (rng.uniform(*limits) for limits in (self.hue, self.saturation, self.value))
        return hsv_to_rgb(hue % 1.0, saturation, value)


class Sky(NamedTuple):
    """What a window shows and what comes in through it.

    Attributes:
        paint: colours of the sky.
        land: brightness of the land below it.
        ambient: the light in the room.
        phrase: what a caption says of it, with a leading blank; empty by day.
    """

    paint: Paint
    land: float
    ambient: Colour
    phrase: str


def pick(rng: Generator, items: Sequence[Choice]) -> Choice:
    """One of the items, all equally likely, at the price of one uniform draw."""
    return items[int(rng.random() * len(items))]


def shaded(colour: Colour, factor: float) -> Colour:
    """The colour under `factor` times the light, each channel at most 1."""
    red, green, blue = colour
    return min(red * factor, 1.0), min(green * factor, 1.0), min(blue * factor, 1.0)


BED_PAINTS = (
    Paint("red", (-0.02, 0.015), (0.72, 0.88), (0.66, 0.84)),
    Paint("yellow", (0.12, 0.145), (0.62, 0.82), (0.86, 0.96)),
    Paint("green", (0.30, 0.40), (0.45, 0.70), (0.42, 0.64)),
    Paint("blue", (0.575, 0.625), (0.60, 0.82), (0.50, 0.78)),
    Paint("purple", (0.75, 0.81), (0.42, 0.62), (0.48, 0.70)),
    Paint("white", (0.08, 0.14), (0.00, 0.04), (0.94, 1.00)),
)
WALL_PAINTS = (
    Paint("white", (0.08, 0.14), (0.01, 0.05), (0.88, 0.93)),
    Paint("grey", (0.55, 0.65), (0.02, 0.07), (0.62, 0.74)),
    Paint("beige", (0.08, 0.11), (0.16, 0.26), (0.82, 0.92)),
    Paint("yellow", (0.125, 0.15), (0.30, 0.44), (0.86, 0.93)),
    Paint("pink", (-0.03, 0.01), (0.18, 0.32), (0.82, 0.91)),
    Paint("green", (0.28, 0.40), (0.16, 0.32), (0.70, 0.84)),
    Paint("blue", (0.54, 0.61), (0.20, 0.40), (0.74, 0.90)),
)
FLOOR_PAINTS = (
    Paint("oak", (0.075, 0.095), (0.42, 0.56), (0.62, 0.76)),
    Paint("walnut", (0.05, 0.075), (0.45, 0.60), (0.34, 0.48)),
    Paint("ash", (0.09, 0.12), (0.18, 0.28), (0.70, 0.82)),
    Paint("slate", (0.55, 0.65), (0.04, 0.12), (0.40, 0.56)),
)
RUG_PAINTS = (
    Paint("red", (-0.02, 0.02), (0.60, 0.80), (0.55, 0.75)),
    Paint("orange", (0.05, 0.075), (0.68, 0.85), (0.84, 0.95)),
    Paint("green", (0.33, 0.45), (0.40, 0.65), (0.36, 0.56)),
    Paint("blue", (0.57, 0.63), (0.50, 0.75), (0.40, 0.64)),
    Paint("white", (0.08, 0.14), (0.02, 0.08), (0.88, 0.96)),
)
SKIES = (
    Sky(Paint("day", (0.53, 0.58), (0.28, 0.50), (0.94, 1.00)), 1.0, (1.0, 1.0, 1.0), ""),
    Sky(Paint("evening", (0.03, 0.09), (0.45, 0.65), (0.94, 1.00)), 0.6, (1.02, 0.98, 0.93), " in the evening"),
    Sky(Paint("night", (0.62, 0.67), (0.60, 0.80), (0.18, 0.32)), 0.2, (0.84, 0.86, 0.91), " at night"),
)
FRAME_COLOURS: tuple[Colour, ...] = ((0.12, 0.11, 0.11), (0.45, 0.28, 0.14), (0.78, 0.62, 0.25))
LAMP_COLOURS: tuple[Colour, ...] = ((0.94, 0.85, 0.62), (0.94, 0.78, 0.52), (0.94, 0.82, 0.48))
POLE_COLOURS: tuple[Colour, ...] = ((0.16, 0.15, 0.16), (0.55, 0.44, 0.22), (0.36, 0.25, 0.17))
