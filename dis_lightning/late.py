"""Names that a package offers, imported when they are first asked for: nobody waits for what is not used."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["late"]


def late(module: str, **homes: str) -> Callable[[str], Any]:
    """The `__getattr__` of a package, which imports a name where it is.

    Type checkers need the same imports under `if TYPE_CHECKING`.

    Args:
        module: the package's name.
        **homes: the module of each name.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return getattr(import_module(homes[name]), name)

    return find
