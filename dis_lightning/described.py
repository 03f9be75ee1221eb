"""What an object is made of: its class and the arguments of its constructor, as plain values.

Run folders tell runs apart by it, and `repr` shows it. A description is the same in every process: it holds no memory
address, a path stands in it by its real place, and a tensor by what tells it from others.
"""

import dataclasses
import functools
import hashlib
import inspect
import json
import re
import sys
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn

from dis_lightning.digests import tensor_digest, weights_digest
from dis_lightning.files import expanded

__all__ = ["Described", "description", "import_path"]

LONGEST = 12
"""How many entries of a list are shown by `repr`."""

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


class Described:
    """Remembers the arguments of its constructor, for `description` and `repr`: the base of what a run is made of.

    It stands before other bases. Arguments that are left to their defaults are remembered too; of tensors only what
    tells them from others.
    """

    _arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Bind what the constructor is called with to its names."""
        if cls.__init__ is object.__init__ and (args or kwargs):  # as Python would, were there no __new__
            raise TypeError(f"{cls.__name__}() takes no arguments")
        self = super().__new__(cls)
        # A frozen dataclass takes no attribute, and a module none before it is initialised.
        object.__setattr__(self, "_arguments", _bound(cls, args, kwargs))
        return self

    def extra_repr(self) -> str:
        """The arguments as words; a module by its class alone, for `repr` shows it below."""
        words = {
            name: type(value).__name__ if isinstance(value, nn.Module) else _words(description(value))
            for name, value in self._arguments.items()
        }
        return ", ".join(f"{name}={value}" for name, value in words.items())

    def __repr__(self) -> str:
        if isinstance(self, nn.Module):
            return nn.Module.__repr__(self)
        return f"{type(self).__name__}({self.extra_repr()})"


class _Content(NamedTuple):
    """What tells a tensor from others."""

    shape: list[int]
    sha256: str


def description(value: object) -> Any:
    """Describe an object.

    Args:
        value: anything.

    Returns:
        None, numbers and words, and lists and dictionaries of such. Of an object, `class_path` and `init_args`: the
        arguments of its constructor where it is `Described`, else the fields of a dataclass, or the public attributes.
        Of a tensor or an array, `shape` and `sha256`; a module that is not `Described` has a `sha256` of all its parts
        and tensors beside its `class_path`. Of a function or a class, its name.
    """
    return _describe(value, ())


def _describe(value: Any, within: tuple[int, ...]) -> Any:
    """See `description`; `within` are the objects that it is a part of."""
    match value:
        case Enum():
            return value.name
        case np.generic():
            return _describe(value.item(), within)
        case None | bool():
            return value
        case int():
            return int(value)
        case float():
            return float(value) if value == value else "nan"  # which, read again, is not equal to itself
        case str():
            return str(value)
        case Path():
            return str(expanded(value).resolve())
        case torch.dtype() | torch.device():
            return str(value)
        case _Content():
            return value._asdict()
        case Tensor() | np.ndarray():
            return _describe(_kept(value), within)
        case Mapping():
            return {str(key): _describe(item, within) for key, item in value.items()}
        case list() | tuple():
            return [_describe(item, within) for item in value]
        case set() | frozenset():
            return sorted((_describe(item, within) for item in value), key=str)
        case functools.partial():
            parts = {"func": value.func, "args": value.args, "keywords": value.keywords}
            return {"class_path": "functools.partial", "init_args": _describe(parts, within)}
    if isinstance(value, type) or inspect.isroutine(value):
        return import_path(value)
    if not hasattr(value, "__dict__"):
        return ADDRESS.sub("", repr(value))
    here = {"class_path": import_path(type(value))}
    if id(value) in within:
        return here
    inside = (*within, id(value))
    if isinstance(value, nn.Module) and not isinstance(value, Described):
        return {**here, "sha256": _module_digest(value, inside)}
    return {**here, "init_args": _describe(_parts(value), inside)}


def _parts(value: Any) -> dict[str, Any]:
    """What an object that is no plain value is made of."""
    if isinstance(value, Described):
        return value._arguments
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {name: part for name, part in vars(value).items() if name[0] != "_"}


def _module_digest(module: nn.Module, within: tuple[int, ...]) -> str:
    """SHA-256 of the tensors of a module and of what else its parts are, but for whether they are in training."""
    parts = {
        name: (import_path(type(part)), {**_parts(part), "training": None}) for name, part in module.named_modules()
    }
    text = json.dumps([_describe(parts, within), weights_digest(module)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def import_path(named: Any) -> str:
    """The name of a class or a function, after that of its module.

    What this package offers is called as its users call it, `dis_lightning.priors.EDM`, in whichever file it stands.
    Others are not: a package that imports late offers its classes only once somebody has asked for them.
    """
    module = getattr(named, "__module__", None)
    if module is None:
        return str(named.__qualname__)
    package = ".".join(module.split(".")[:2])
    offered = vars(sys.modules[package]).get(named.__qualname__) if package.startswith("dis_lightning.") else None
    return f"{package if offered is named else module}.{named.__qualname__}"


def _bound(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a constructor by their names, with the defaults of those that are left out."""
    signature = inspect.signature(cls.__init__)  # type: ignore[misc] # of this very class
    try:
        bound = signature.bind(None, *args, **kwargs).arguments
    except TypeError:  # a copy is made without arguments; and what is wrong the constructor says better
        return {}
    given: dict[str, Any] = {}
    for name, value in list(bound.items())[1:]:  # without self
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            given |= value
        else:
            given[name] = value
    arguments = _defaults(cls) | given
    return {name: _kept(value) for name, value in arguments.items() if value is not inspect.Parameter.empty}


def _defaults(cls: type) -> dict[str, Any]:
    """Defaults by the names of their arguments, with those that a parent has where a constructor passes `**` on."""
    defaults: dict[str, Any] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        _, *parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        for parameter in parameters:
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                defaults.setdefault(parameter.name, parameter.default)
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
            break
    return defaults


def _kept(value: Any) -> Any:
    """An argument that later changes of lists and tensors do not reach."""
    match value:
        case Tensor():
            return _Content(list(value.shape), tensor_digest(value))
        case np.ndarray() if value.dtype.kind in "biufc":
            return _Content(list(value.shape), hashlib.sha256(value.tobytes()).hexdigest())
        case np.ndarray():
            return _kept(value.tolist())
        case dict():
            return {key: _kept(item) for key, item in value.items()}
        case list() | tuple():
            return [_kept(item) for item in value]
    return value


def _words(plain: Any) -> str:
    """A description in a few words."""
    match plain:
        case {"class_path": str(path)}:
            arguments: dict[str, Any] = plain.get("init_args", {})
            return f"{path.rpartition('.')[2]}({', '.join(f'{k}={_words(v)}' for k, v in arguments.items())})"
        case {"shape": list(shape), "sha256": str()}:
            return f"tensor of shape {tuple(shape)}"
        case dict():
            return f"{{{', '.join(f'{key}: {_words(item)}' for key, item in plain.items())}}}"
        case list():
            return f"[{', '.join([*map(_words, plain[:LONGEST]), *['...'] * (len(plain) > LONGEST)])}]"
        case str() if len(plain) > 80:
            return repr(f"{plain[:77]}...")
    return repr(plain)
