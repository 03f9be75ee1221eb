"""What the user is told of a mistake."""

import inspect
from argparse import ArgumentError
from inspect import isabstract

from lightning.fabric.utilities.exceptions import MisconfigurationException

from dis_lightning import rooms
from dis_lightning.commands.parts import PARTS
from dis_lightning.errors import UserError

__all__ = ["explain"]

NOISE = (
    "Does not validate against",
    "- Does not validate against",
    "Subtypes:",
    "Errors:",
    "- Expected a <class 'None",
    "- Expected a path but",
)
"""How lines begin that a parser adds to a message and that help nobody."""


def explain(error: Exception) -> str | None:
    """The message for a user's mistake, or None for an error of the program, which needs its traceback."""
    if isinstance(error, ArgumentError | MisconfigurationException):
        return _remedy(str(error))
    return str(error) if isinstance(error, UserError) else None


def _remedy(message: str) -> str:
    """Shorten a parser's message and say what to do."""
    told, _, _ = message.partition("Given value type:")  # what follows prints all parts, however large
    lines = [line for line in told.splitlines() if line.strip() and not line.strip().startswith(NOISE)]
    for key, (kind, package, folder) in PARTS.items():
        if f"predict.{key}" in message or f'"{key}"' in message:
            public = {name: getattr(home, name) for home in (package, rooms) for name in home.__all__}
            names = [n for n, c in public.items() if inspect.isclass(c) and issubclass(c, kind) and not isabstract(c)]
            if "is not accepted" not in message:
                lines.append(
                    f"Give `{key}` by --config {folder}/NAME.yaml or --{key} CLASS, CLASS one of {', '.join(names)};"
                )
            lines.append(f"see --{key}.help CLASS for its arguments.")
    return "\n".join(lines)
