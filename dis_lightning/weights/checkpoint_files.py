"""Checkpoints: PyTorch files that hold more than weights, such as the hyper-parameters of whoever trained them.

Such a file is a pickle, a program that may call anything. Here it runs on a machine that can make tensors and nothing
else: every other class or function that the file names is replaced by `_Nothing`, which takes whatever it is given and
keeps none of it. No module is imported for a file, and no code of its own or of its classes is run.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError

__all__ = ["PARAMETERS", "TENSORS", "read_checkpoint"]

_DTYPES = {
    "BFloat16Storage": torch.bfloat16,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "ShortStorage": torch.int16,
}
TENSORS = {("torch._utils", "_rebuild_tensor"), ("torch._utils", "_rebuild_tensor_v2")}
PARAMETERS = {("torch._utils", "_rebuild_parameter"), ("torch._utils", "_rebuild_parameter_with_state")}
"""The functions that files call to make tensors, and to make parameters of them, by module and name."""


def read_checkpoint(path: Path, entry: str = "state_dict") -> dict[str, Tensor]:
    """Read the tensors under one entry of a checkpoint; whatever else is in the file is passed over.

    Args:
        path: a file that `torch.save` wrote, since PyTorch 1.6.
        entry: where in the checkpoint the weights are.

    Raises:
        ValueError: if the file is damaged or no such checkpoint, or holds no weights under that entry.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            content = _Tensors(archive).load()
    except Exception as error:  # A damaged pickle fails in any way it likes.
        raise InvalidValueError(
            f"{path} cannot be read as a checkpoint: it is damaged (a download that broke off?), or of another kind. "
            f"Get it again. ({type(error).__name__})"
        ) from error
    weights = content.get(entry) if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        came = f"the entries {', '.join(map(str, content))}" if isinstance(content, dict) else "no entries"
        raise InvalidValueError(f"{path} must hold a dictionary of tensors under {entry!r}, but has {came}.")
    return dict(weights)


class _Nothing(dict[Any, Any]):
    """What is made in the place of every object but tensors; a dictionary and a list, since some are."""

    def __new__(cls, *_: object, **__: object) -> "_Nothing":
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__()

    def __call__(self, *_: object, **__: object) -> "_Nothing":
        return _Nothing()

    def __hash__(self) -> int:  # type: ignore[override] # objects serve as keys in some checkpoints
        return id(self)

    def __setitem__(self, *_: object) -> None:
        pass

    def __setstate__(self, *_: object) -> None:
        pass

    def append(self, *_: object) -> None:
        pass

    extend = append


class _Tensors(pickle.Unpickler):
    """The machine; its methods stand for the only functions that a file can call."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        pickled = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        self._folder = pickled.removesuffix(".pkl")
        self._storages: dict[str, Tensor] = {}
        super().__init__(io.BytesIO(archive.read(pickled)), encoding="utf-8")

    def find_class(self, module: str, name: str) -> Any:
        """Give what is meant by a name in the file."""
        if (module, name) in TENSORS:
            return self._tensor
        if (module, name) in PARAMETERS:
            return self._parameter
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        return OrderedDict if (module, name) == ("collections", "OrderedDict") else _Nothing

    def persistent_load(self, pid: Any) -> Tensor:
        """Give the numbers that a tensor is a view of."""
        _, dtype, key, _, count = pid
        if key not in self._storages:
            numbers = bytearray(self._archive.read(f"{self._folder}/{key}"))
            self._storages[key] = torch.frombuffer(numbers, dtype=dtype) if count else torch.empty(0, dtype=dtype)
        return self._storages[key]

    def _tensor(self, storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
        return storage.as_strided(size, stride, offset)

    def _parameter(self, data: Tensor, *_: Any) -> Tensor:
        return data
