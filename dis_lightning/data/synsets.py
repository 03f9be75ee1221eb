"""The classes of ImageNet, as published networks number them."""

from functools import cache
from importlib.resources import files

__all__ = ["imagenet_classes", "imagenet_numbers"]


@cache
def imagenet_classes() -> tuple[str, ...]:
    """The WordNet ids of the 1,000 classes of ILSVRC-2012, sorted: class 281 is `n02123045`, the tabby cat."""
    text = files(__package__).joinpath("imagenet_synsets.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if not line.startswith("#"))


@cache
def imagenet_numbers() -> dict[str, int]:
    """The number of each class, by its WordNet id."""
    return {name: number for number, name in enumerate(imagenet_classes())}
