"""How far a long task is, told in lines, which a terminal and a log show alike."""

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

__all__ = ["counted"]

Item = TypeVar("Item")


def counted(items: Sequence[Item], task: str, every: float = 5.0) -> Iterator[Item]:
    """Go through items, and say on stderr how many are done; nothing is said of a task that is done sooner.

    Args:
        items: what there is to do.
        task: what is done, such as "Rendering rooms".
        every: seconds between two lines, at least.
    """
    last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - last >= every:
            last = time.monotonic()
            print(f"{task}: {done:,} of {len(items):,}", file=sys.stderr, flush=True)
