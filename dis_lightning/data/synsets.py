"""The classes of ImageNet, as published networks number them."""

from functools import cache
from importlib.resources import files

__all__ = ["imagenet_classes"]


@cache
def imagenet_classes() -> tuple[str, ...]:
    """The WordNet ids of the 1,000 classes of ILSVRC-2012, sorted: class 281 is `n02123045`, the tabby cat."""
    text = files(__package__).joinpath("imagenet_synsets.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if not line.startswith("#"))
