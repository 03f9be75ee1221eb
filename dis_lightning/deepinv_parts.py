"""Parts of DeepInverse, given as objects or by their names, as configurations do."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from torch import nn

from dis_lightning.errors import InvalidTypeError, MissingPackageError

__all__ = ["deepinv_part"]


def deepinv_part(part: str | nn.Module, arguments: dict[str, Any] | None, module: str, kind: str, option: str) -> Any:
    """A part of DeepInverse, built here where it is named.

    Args:
        part: the part, or the name of its class.
        arguments: what one that is named is built from.
        module: where its class is, such as `physics`.
        kind: the class that it must be of, in that module.
        option: what the user calls the arguments on the command line.

    Raises:
        ModuleNotFoundError: if DeepInverse is not installed.
        TypeError: if it is of another kind, or cannot be built from the arguments.
    """
    if find_spec("deepinv") is None:
        raise MissingPackageError("Parts of DeepInverse need its package: pip install 'dis-lightning[deepinv]'.")
    library = import_module(f"deepinv.{module}")  # ships no types
    base, word = getattr(library, kind), {"physics": "physics", "models": "denoiser"}[module]
    if isinstance(part, str):
        build = getattr(library, part, None)
        if not (isinstance(build, type) and issubclass(build, getattr(library, word.capitalize()))):
            raise InvalidTypeError(
                f"deepinv.{module} has no {word} {part}; see https://deepinv.github.io for the names."
            )
        try:
            part = build(**(arguments or {}))
        except (TypeError, ValueError) as error:
            raise InvalidTypeError(
                f"deepinv.{module}.{part} cannot be built from arguments={arguments or {}}: {error}. Give what it "
                f"needs in `arguments` ({option}.NAME=VALUE); see https://deepinv.github.io."
            ) from None  # the command line shows the innermost cause alone
    if not isinstance(part, base):
        raise InvalidTypeError(f"The {word} must be a deepinv.{module}.{kind}, but got {type(part).__name__}.")
    return part
