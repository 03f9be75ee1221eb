"""What is the user's mistake: the one class of errors that the command line shows as a single line.

Everything else that is raised is a fault of the program, and keeps its traceback. Each kind is also Python's own, so
that who uses the package from Python can catch either.
"""

import math
from collections.abc import Callable
from numbers import Integral
from types import UnionType
from typing import Any, SupportsFloat

__all__ = [
    "InvalidTypeError",
    "InvalidValueError",
    "LostProcessError",
    "MissingFileError",
    "MissingPackageError",
    "UnreachableError",
    "UnusablePathError",
    "UserError",
    "require_not_negative",
    "require_numbers",
    "require_positive",
    "require_share",
    "require_type",
    "require_whole",
]


class UserError(Exception):
    """Something that the user can mend; the message says what came, what was needed and what to do."""


class InvalidValueError(UserError, ValueError):
    """A value, a file's content or a combination of choices that cannot be used."""


class InvalidTypeError(UserError, TypeError):
    """A part that is missing or of another kind than what is needed."""


class MissingFileError(UserError, FileNotFoundError):
    """A file or a folder that is not there."""


class UnusablePathError(UserError, OSError):
    """A place on a disk that cannot be read or written."""


class MissingPackageError(UserError, ModuleNotFoundError):
    """A Python package that a choice needs and that is not installed."""


class UnreachableError(UserError, ConnectionError):
    """A file that is neither here nor to be had from where it is published."""


class LostProcessError(UserError, ConnectionError):
    """Another process of the run that is gone, with its host or without."""


def require_type(owner: object, kind: type | UnionType, **values: object) -> None:
    """Refuse a part of another kind, such as a number where a rule is needed.

    Args:
        owner: whose arguments they are.
        kind: what they must be; several, and none, as `Spread | None`.
        **values: the arguments, by name.

    Raises:
        TypeError: if one is of another kind.
    """
    kinds = kind.__args__ if isinstance(kind, UnionType) else (kind,)
    names = " or ".join("none" if each is type(None) else each.__name__ for each in kinds)
    for name, value in values.items():
        if not isinstance(value, kind):
            raise InvalidTypeError(f"{type(owner).__name__} needs {names} as `{name}`, but got {value!r}.")


LARGEST = 3.4e38
"""Above it a number is infinite in float32, in which images are computed."""


def require_numbers(owner: object, **values: object) -> None:
    """Refuse what is no number, such as the `null` of a configuration, or none that images can be computed with.

    Args:
        owner: whose arguments they are, or its name.
        **values: the arguments, by name.

    Raises:
        TypeError: if one is no number.
        ValueError: if one is finite, but not in float32.
    """
    for name, value in values.items():
        if not isinstance(value, SupportsFloat):
            came = "none (null)" if value is None else repr(value)
            raise InvalidTypeError(f"{_name(owner)} needs a number as `{name}`, but got {came}.")
        if not isinstance(value, Integral) and LARGEST < abs(float(value)) < math.inf:
            raise InvalidValueError(f"{_name(owner)} needs {name} between ±{LARGEST:g}, but got {name}={value}.")


def require_positive(owner: object, **values: object) -> None:
    """Refuse what is no finite number above 0; arguments and errors as for `require_numbers`."""
    _require(owner, "a finite {} > 0", lambda value: 0 < value < math.inf, values)


def require_not_negative(owner: object, **values: object) -> None:
    """Refuse what is no finite number of at least 0; arguments and errors as for `require_numbers`."""
    _require(owner, "a finite {} >= 0", lambda value: 0 <= value < math.inf, values)


def require_share(owner: object, **values: object) -> None:
    """Refuse what is no number in [0, 1]; arguments and errors as for `require_numbers`."""
    _require(owner, "{} in [0, 1]", lambda value: 0 <= value <= 1, values)


def _require(owner: object, needed: str, good: Callable[[Any], bool], values: dict[str, object]) -> None:
    require_numbers(owner, **values)
    for name, value in values.items():
        if not good(value):
            raise InvalidValueError(f"{_name(owner)} needs {needed.format(name)}, but got {value}.")


def _name(owner: object) -> str:
    return owner if isinstance(owner, str) else type(owner).__name__


def require_whole(owner: object, least: int, most: int = 2**63 - 1, **values: object) -> None:
    """Refuse what is no whole number in a range.

    Args:
        owner: whose arguments they are, or its name.
        least: the smallest number that is taken.
        most: the largest one.
        **values: the arguments, by name.

    Raises:
        TypeError: if one is no number.
        ValueError: if one is not whole, too small or too large.
    """
    require_numbers(owner, **values)
    for name, value in values.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < least:
            raise InvalidValueError(f"{_name(owner)} needs {name} >= {least}, a whole number, but got {name}={value}.")
        if int(value) > most:
            raise InvalidValueError(f"{_name(owner)} needs {name} <= {most}, but got {name}={value}.")
