"""What may have been meant by a name that nobody knows."""

import difflib
from collections.abc import Iterable

__all__ = ["nearest"]


def nearest(word: str, words: Iterable[str], at_most: int = 1) -> str:
    """Which of some words may have been meant: `Did you mean a, b or c? `; empty where none is near.

    Args:
        word: what was written.
        words: what there is.
        at_most: how many to name, the nearest first.
    """
    by_letters = {known.lower(): known for known in words}  # upper and lower case are often mistaken
    swapped = [known for known in by_letters if sorted(known) == sorted(word.lower())]  # the commonest slip
    longer = sorted((one for one in by_letters if len(word) > 1 and one.startswith(word.lower())), key=len)
    similar = difflib.get_close_matches(word.lower(), by_letters, at_most)
    close = list(dict.fromkeys([*swapped, *similar, *longer]))[:at_most]
    if word.lower() in close:  # but for that it is the word itself
        close = [word.lower()]
    near = [f"`{by_letters[one]}`" for one in close]
    if not near:
        return ""
    *others, last = near
    return f"Did you mean {', '.join(others)} or {last}? " if others else f"Did you mean {last}? "
