"""Equations in docstrings: what stands indented, after an empty line, is shown as it stands."""

from typing import Any

from sphinx.application import Sphinx

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


def setup(app: Sphinx) -> dict[str, bool]:
    """Run before the sections of the docstrings are read."""
    app.connect("autodoc-process-docstring", _keep_equations, priority=100)
    return {"parallel_read_safe": True}
