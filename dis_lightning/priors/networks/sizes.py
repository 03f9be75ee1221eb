"""How large the images of a network may be: any multiples of what it divides them by, square or not.

The networks here are convolutions, and attention that does not know places: they take every size that can be halved at
each of their levels. Which levels have attention is decided once, by the height that a network was made for.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dis_lightning.errors import InvalidValueError, require_numbers

__all__ = ["ImageSize", "height_and_width", "level_heights", "other_shape"]

ImageSize = int | tuple[int, int]
"""The side of square images, or height and width, in pixels."""


def height_and_width(owner: object, size: ImageSize | Sequence[int]) -> tuple[int, int]:
    """Both, of a size that is one number or two.

    Raises:
        TypeError: if one is no number.
        ValueError: if there are more than two, or one is below 1 or not whole.
    """
    sides = list(size) if isinstance(size, Sequence) and not isinstance(size, str) else [size]
    for side in sides:
        require_numbers(owner, image_size=side)
    if len(sides) not in (1, 2) or any(not isinstance(side, int) or side < 1 for side in sides):
        needs = owner if isinstance(owner, str) else type(owner).__name__
        raise InvalidValueError(f"{needs} needs image_size >= 1, one whole number or height and width, but got {size}.")
    return sides[0], sides[-1]


def level_heights(arguments: Mapping[str, Any]) -> list[int]:
    """Heights of the images at each level of a network, by which `attention_resolutions` names levels."""
    height, _ = height_and_width("image_size", arguments["image_size"])
    return [height >> level for level in range(len(arguments["channel_mult"]))]


def other_shape(owner: object, network: Any, size: ImageSize) -> tuple[int, ...]:
    """The shape of one image of another size than the network was made for, `(C, H, W)`.

    Args:
        owner: whose argument `size` is, for the message.
        network: a raw network, or one that will be read.
        size: what is wanted.

    Raises:
        TypeError: see `height_and_width`.
        ValueError: likewise; and if the network cannot halve such images at each of its levels.
    """
    height, width = height_and_width(owner, size)
    reduction = getattr(network, "reduction", 1)
    if height % reduction or width % reduction:
        raise InvalidValueError(
            f"{type(owner).__name__} needs an image_size of multiples of {reduction}, by which its network reduces "
            f"images, but got {height} x {width} (height x width): resize or crop the images."
        )
    return (network.shape[0], height, width)
