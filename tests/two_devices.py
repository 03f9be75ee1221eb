"""A plugin of pytest that shows without a GPU whether every tensor would be where it is needed.

    pytest tests/conformance -n 0 -p two_devices --device cpu:0

What is sent to `cpu:0` counts as being on a device of its own, and an operation on tensors of both is refused, as a GPU
would refuse it; so is reading a tensor of the device as a NumPy array. All numbers are those of the CPU. Seen are the
calls of Python; and the captioner of transformers cannot be read so, which builds itself on devices of its own.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

__all__ = ["TwoDevices", "pytest_configure"]

DEVICE = torch.device("cpu:0")

LOOKS = {
    *("dim", "numel", "size", "stride", "item", "tolist", "data_ptr", "is_contiguous", "is_floating_point"),
    *("__bool__", "__float__", "__format__", "__hash__", "__index__", "__int__", "__len__", "__repr__"),
}
"""What reads a tensor wherever it is."""
ACROSS = {"__getitem__", "__setitem__", "copy_", "_has_compatible_shallow_copy_type"}
"""What takes tensors of both; what they give is where the first is."""


class TwoDevices(TorchFunctionMode):
    """The pretence; see the module."""

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name, tensors = func.__name__, [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        here = [_is_there(tensor) for tensor in tensors]
        if name in LOOKS:
            return func(*args, **kwargs)
        if name == "__get__" and func.__self__ is Tensor.device:
            return DEVICE if here[0] else torch.device("cpu")
        if name == "__set__":
            if func.__self__ is Tensor.data:
                _put([args[0]], here[1])
            return func(*args, **kwargs)
        if name in ("to", "cpu"):
            return self._moved(func, args, kwargs, here)
        if name == "numpy" and here[0]:
            raise TypeError("A tensor of the other device is no array; copy it first (.cpu()).")
        large = {there for tensor, there in zip(tensors, here, strict=True) if tensor.dim() > 0}
        if len(large) > 1 and name not in ACROSS:
            places = [
                f"{tuple(tensor.shape)} {'there' if each else 'here'}"
                for tensor, each in zip(tensors, here, strict=True)
            ]
            raise RuntimeError(f"{name} takes tensors of two devices: {', '.join(places)}.")
        found = func(*args, **kwargs)
        if kwargs.get("device") is not None:
            _put(found, _names_it(kwargs["device"]))
        else:
            _put(found, here[0] if here and name in ACROSS else any(here))
        return found

    def _moved(self, func: Any, args: Sequence[Any], kwargs: Any, here: list[bool]) -> Tensor:
        there = here[-1] and func.__name__ == "to"  # `x.to(y)` goes where y is
        for given in (*args[1:], kwargs.get("device")):
            if isinstance(given, torch.device | str):
                there = _names_it(given)
        moved: Tensor = func(*args, **kwargs)
        if there != here[0] and moved is args[0]:
            moved = moved.clone()
        _put(moved, there)
        return moved


def pytest_configure() -> None:
    """Pretend from here on, for tensors are made when tests are collected too."""
    TwoDevices().__enter__()


def _is_there(tensor: Tensor) -> bool:
    return getattr(_inmost(tensor), "_is_there", False)


def _put(found: Any, there: bool) -> None:
    for leaf in tree_leaves(found):
        if isinstance(leaf, Tensor):
            _inmost(leaf)._is_there = there  # type: ignore[attr-defined] # a mark of our own


def _names_it(device: torch.device | str) -> bool:
    return torch.device(device) == DEVICE


def _inmost(tensor: Tensor) -> Tensor:
    """The tensor itself, where a transformation of functions has wrapped it."""
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        tensor = functorch.get_unwrapped(tensor)
    return tensor
