"""The precision of a network, as people write it."""

from typing import Literal, get_args

import torch

from dis_lightning.errors import InvalidTypeError, InvalidValueError

__all__ = ["Precision", "as_dtype"]

Name = Literal["float32", "bfloat16", "float16", "float64"]
Precision = torch.dtype | Name
"""A type of PyTorch or its name: `torch.bfloat16` and "bfloat16" are one."""


def as_dtype(precision: torch.dtype | str) -> torch.dtype:
    """The type that is meant.

    Raises:
        TypeError: if it is neither a type nor a name.
        ValueError: if networks do not compute in such numbers.
    """
    if not isinstance(precision, torch.dtype | str):
        raise InvalidTypeError(f"A dtype is one of {', '.join(get_args(Name))}, but got {precision!r}.")
    name = str(precision).removeprefix("torch.")
    if name not in get_args(Name):
        raise InvalidValueError(f"A dtype is one of {', '.join(get_args(Name))}, but got {name!r}.")
    found: torch.dtype = getattr(torch, name)
    return found
