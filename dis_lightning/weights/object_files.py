"""Pickles of whole objects, as NVlabs publishes its networks: what they hold is read, and nothing in them is run.

Such a file is a program that builds objects, and carries the source code of their classes, which NVlabs' own reader
executes. Here the program runs on a machine that knows a short list of names and has a stand-in for each: objects come
out as `SavedObject`, which keeps what was saved of them; tensors are made by this package. Any other name is refused.
"""

import io
import pickle
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError, UnusablePathError
from dis_lightning.weights.checkpoint_files import PARAMETERS, TENSORS

__all__ = ["SavedObject", "read_objects"]

_DICTIONARIES = {("collections", "OrderedDict"), ("dnnlib", "EasyDict"), ("dnnlib.util", "EasyDict")}
_SETS = {("builtins", "set"): set, ("builtins", "frozenset"): frozenset}
_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMBERS = "biuf"
"""The kinds of numbers of numpy that are read: truth values, integers and floats."""


class SavedObject:
    """What was saved of an object: the name of its class, and its attributes.

    Attributes:
        kind: name of the class, without its module; the class is never looked up.
        attributes: the attributes by name, plain values, tensors and such objects.
    """

    kind: str = ""

    def __init__(self, *_: object, **__: object) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: object) -> None:
        """Take the attributes, as the file gives them after the object."""
        if isinstance(state, dict):
            self.attributes = {str(name): value for name, value in state.items()}

    @property
    def children(self) -> dict[str, "SavedObject"]:
        """The modules in a module, by name and in order."""
        modules = self.attributes.get("_modules") or {}
        return {name: child for name, child in modules.items() if isinstance(child, SavedObject)}

    def tensors(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """The parameters and buffers of a module and of all in it, by their names in its state dictionary."""
        for group in ("_parameters", "_buffers"):
            for name, tensor in (self.attributes.get(group) or {}).items():
                if isinstance(tensor, Tensor):
                    yield f"{prefix}{name}", tensor
        for name, child in self.children.items():
            yield from child.tensors(f"{prefix}{name}.")

    def within(self) -> Iterator["SavedObject"]:
        """A module and all in it."""
        yield self
        for child in self.children.values():
            yield from child.within()


def read_objects(path: Path, *, tensors: bool = True) -> Any:
    """Read a pickle of objects whose classes NVlabs' `torch_utils.persistence` keeps, and of what they are made of.

    Args:
        path: the file.
        tensors: whether tensors are wanted; without them a large file is read faster, and None stands for each.

    Returns:
        What the file holds: plain values, tensors, and a `SavedObject` for every object.

    Raises:
        OSError: if the file may not be read.
        ValueError: if the file is damaged or of another kind, or asks for what such objects are not made of.
    """
    try:
        with path.open("rb") as file:
            return _Objects(file, tensors).load()
    except _RefusedError as refused:
        raise InvalidValueError(
            f"{path} asks for {refused}, which is no part of a network: it is refused, and nothing in it was executed. "
            "Get the file from who published it."
        ) from None
    except PermissionError as error:
        raise UnusablePathError(f"{path} may not be read ({error.strerror}): change its permissions.") from error
    except Exception as error:  # A damaged pickle fails in any way it likes.
        what = (
            "it is empty" if not path.stat().st_size else "it is damaged (a download that broke off?), or another kind"
        )
        raise InvalidValueError(
            f"{path} cannot be read as a pickle of a network: {what}. Get it again. ({type(error).__name__})"
        ) from error


class _RefusedError(Exception):
    """A name that the machine does not know."""


class _Objects(pickle.Unpickler):
    """The machine. Every name gets a stand-in of its own, so that nothing that a file does to one outlives it."""

    def __init__(self, file: io.BufferedReader, tensors: bool) -> None:
        super().__init__(file)
        self._tensors = tensors

    def find_class(self, module: str, name: str) -> Any:
        """Give the stand-in for a name in the file."""
        known = (module, name)
        package, _, last = module.rpartition(".")
        if last == "persistence" and package.rpartition(".")[2] == "torch_utils" and name == _PERSISTENT:
            return _function(_persistent)
        if known in TENSORS:
            return _function(self._tensor)
        if known in PARAMETERS:
            return _function(lambda data, *_: data)
        if known == ("torch.storage", "_load_from_bytes"):
            return _function(self._storage)
        if known in _DICTIONARIES:
            return type(name, (dict,), {"__setstate__": lambda *_: None})
        if known in _SETS:
            return _function(_SETS[known])
        if module.startswith("torch.nn.modules.") or known in (("torch", "Size"), ("torch", "device")):
            return type(name, (SavedObject,), {"kind": name})
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return name
        if known == ("numpy", "dtype"):
            return type(name, (_Dtype,), {})
        if module in _NUMPY and name == "scalar":
            return _function(_scalar)
        if known == ("numpy", "ndarray") or (module in _NUMPY and name == "_reconstruct"):
            return type(name, (SavedObject,), {"kind": "ndarray"})
        raise _RefusedError(f"{module}.{name}")

    def _storage(self, content: bytes) -> Tensor | None:
        """The numbers of a tensor, which PyTorch writes as a file of their own into the pickle."""
        if not self._tensors:
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # An error says more than a remark on the pickle protocol.
                storage = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            # PyTorch's own machine names what it refuses in the midst of advice.
            if found := re.search(r"GLOBAL ([\w.]+)", str(error)):
                raise _RefusedError(found[1]) from None
            raise
        # A storage with a type warns of its own age whenever it is asked for anything, but for this.
        return torch.empty(0, dtype=storage.dtype).set_(storage._untyped_storage)

    def _tensor(
        self, storage: Tensor | None, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
    ) -> Tensor | None:
        return None if storage is None else storage.as_strided(size, stride, offset)


_PERSISTENT = "_reconstruct_persistent_obj"


def _persistent(meta: Mapping[str, Any]) -> SavedObject:
    """An object of NVlabs: `meta` says its class and its state, and carries source code, which is left alone."""
    made: SavedObject = type("Persistent", (SavedObject,), {"kind": str(meta["class_name"])})()
    made.__setstate__(meta["state"])
    return made


def _function(call: Callable[..., Any]) -> type:
    """A stand-in for a function: a class, because files may ask for either."""
    return type("function", (), {"__new__": lambda _, *args: call(*args)})


class _Dtype:
    """The type of a number of numpy."""

    def __init__(self, code: str, *_: object) -> None:
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.code = f"{state[1]}{self.code}"

    def numpy(self) -> np.dtype[Any]:
        """The type itself, if it is one of plain numbers."""
        if self.code.lstrip("<>|=")[:1] not in _NUMBERS:
            raise ValueError(f"{self.code} is no type of numbers")
        return np.dtype(self.code)


def _scalar(dtype: _Dtype, content: bytes) -> Any:
    """A number of numpy, as Python's own."""
    return np.frombuffer(content, dtype.numpy(), count=1)[0].item()
