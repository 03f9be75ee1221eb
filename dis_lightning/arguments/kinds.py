"""Which classes the value of a key can have."""

import inspect
from collections.abc import Callable
from itertools import filterfalse
from typing import Any, get_args, get_type_hints

from lightning import Trainer

from dis_lightning.arguments.parts import HOMES, PARTS
from dis_lightning.callbacks import Writer

__all__ = ["Maker", "hinted", "kinds_of", "offered"]

Maker = Callable[..., Any]
"""A class, or a function that gives an object of one."""

ABOVE = {"trainer": Trainer, "writer": Writer}
"""What stands behind the first word of a key that is no part of a run."""


def offered(*kinds: type) -> dict[str, Maker]:
    """The classes of some kinds that the package offers, and functions that give them, by what YAML calls them.

    Of kinds for which it has none, such as loggers, what Lightning offers.
    """
    found: dict[str, Maker] = {}
    for home in HOMES:
        for name in home.__all__:
            one = getattr(home, name)
            if inspect.isclass(one) and issubclass(one, kinds) and not inspect.isabstract(one):
                found[name] = one
            elif inspect.isfunction(one):
                given = get_type_hints(one).get("return")
                if inspect.isclass(given) and issubclass(given, kinds):
                    found[f"{home.__name__}.{name}"] = one
    return found or {kind.__name__: kind for kind in _below(*kinds) if kind.__module__.startswith("lightning.")}


def kinds_of(key: str) -> tuple[type, ...]:
    """The classes that the value of a key can have, whichever class its owner has.

    Args:
        key: as in `--model.levels`, without the dashes.
    """
    root, *names = key.split(".")
    if root in PARTS:
        kinds: tuple[type, ...] = (PARTS[root].kind,)
    else:
        kinds = (ABOVE[root],) if names and root in ABOVE else ()
    for name in names:
        owners: list[Maker] = [*kinds, *offered(*kinds).values()]
        kinds = tuple(dict.fromkeys(kind for owner in owners for kind in hinted(owner, name)))
    return kinds


def hinted(owner: Maker, name: str) -> tuple[type, ...]:
    """The classes in the type of a class's or function's argument; none where it is a number, a text or a path."""
    makers = [vars(base).get("__init__") for base in owner.__mro__] if inspect.isclass(owner) else [owner]
    for maker in filter(None, makers):
        if name in getattr(maker, "__annotations__", {}):
            return tuple(_classes(get_type_hints(maker)[name]))
    return ()


def _classes(hint: Any) -> list[type]:
    if inspect.isclass(hint):
        return [] if hint.__module__.partition(".")[0] in ("builtins", "pathlib", "torch", "types") else [hint]
    return [kind for part in get_args(hint) for kind in _classes(part)]


def _below(*kinds: type) -> list[type]:
    """The classes below some kinds that can be built, all generations of them."""
    children: list[type] = []
    for kind in kinds:
        children += kind.__subclasses__()
    return [*filterfalse(inspect.isabstract, children), *(_below(*children) if children else [])]
