"""How docstrings are shown: their equations as they stand, and classes with the arguments of their constructor."""

import inspect
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.inspect import stringify_signature

__all__ = ["setup"]


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _keep_equations(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    kept: list[str] = []
    inside = None  # how deep the text around an equation is
    for number, line in enumerate(lines):
        if line.strip():
            before = next((one for one in reversed(lines[:number]) if one.strip()), "")
            if inside is not None and _depth(line) <= inside:
                inside = None
            if inside is None and number and not lines[number - 1].strip() and _depth(line) > _depth(before):
                inside = _depth(before)
                kept += [" " * inside + "::", ""]
        kept.append(line)
    lines[:] = kept


def _constructor(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str, None] | None:
    # What remembers its arguments makes its instances by a `__new__` that takes any.
    if what != "class" or signature != "(*args, **kwargs)":
        return None
    found = inspect.signature(obj.__init__)
    return stringify_signature(found.replace(parameters=[*found.parameters.values()][1:]), show_annotation=False), None


def setup(app: Sphinx) -> dict[str, bool]:
    """Equations are marked before the sections of the docstrings are read."""
    app.connect("autodoc-process-signature", _constructor)
    app.connect("autodoc-process-docstring", _keep_equations, priority=100)
    return {"parallel_read_safe": True}
