"""Parts of a run: some of its batches, which follow each other, so that a part is what the whole run gives for it."""

from math import ceil

from dis_lightning.errors import InvalidValueError

__all__ = ["parts_of", "places_of"]


def parts_of(shard: str) -> tuple[int, int]:
    """The two numbers of "i/n".

    Raises:
        ValueError: if it is none, or i is not in 0 .. n - 1.
    """
    part, line, parts = str(shard).partition("/")
    if not (line and part.isdecimal() and parts.isdecimal() and int(part) < int(parts)):
        raise InvalidValueError(
            f'shard must be "i/n" with i in 0 .. n - 1, such as 0/4 for the first of four parts, but got {shard!r}.'
        )
    return int(part), int(parts)


def places_of(shard: str, images: int, batch_size: int) -> range:
    """The indices of the images of a part; empty where there are fewer batches than parts.

    Args:
        shard: "i/n".
        images: number of images of the whole run.
        batch_size: images per batch.

    Raises:
        ValueError: if `shard` is none.
    """
    part, parts = parts_of(shard)
    batches = ceil(images / batch_size)
    first, last = (batch_size * (batches * edge // parts) for edge in (part, part + 1))
    return range(first, min(last, images))
