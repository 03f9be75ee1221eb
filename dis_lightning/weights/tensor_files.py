"""Files of tensors: safetensors, and PyTorch files that hold tensors alone. Nothing in a file is ever executed."""

import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from dis_lightning.errors import InvalidValueError, UnusablePathError
from dis_lightning.files import write_atomically

__all__ = ["read_metadata", "read_tensors", "write_tensors"]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Map the tensors of a file into memory, by name; a tensor that is there alone has the name "".

    Raises:
        OSError: if the file may not be read.
        ValueError: if the file is damaged, or holds anything but named tensors.
    """
    if path.suffix == ".safetensors":
        with _readable(path):
            return load_file(path)
    with _readable(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The error below says more than a remark on the pickle protocol.
        # Files from before PyTorch 1.6 are no archives and cannot be mapped.
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    if isinstance(state, Tensor):
        return {"": state}
    if not isinstance(state, dict):
        raise InvalidValueError(f"{path} must hold a dictionary of tensors, but holds one {type(state).__name__}.")
    strangers = {key: type(value).__name__ for key, value in state.items() if not isinstance(value, Tensor)}
    if strangers:
        raise InvalidValueError(
            f"{path} must hold tensors alone, as the published files do, but {dict(list(strangers.items())[:3])} came: "
            "save the weights themselves to a file."
        )
    return state


def read_metadata(path: Path) -> dict[str, str]:
    """Read what a safetensors file says about itself, without its tensors.

    Raises:
        OSError: if the file may not be read.
        ValueError: if the file is damaged.
    """
    with _readable(path), safe_open(path, "pt") as file:
        return file.metadata() or {}


def write_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file, and the folders that it is to lie in.

    Args:
        tensors: what to write, by name.
        path: the file.
        metadata: what it says about itself.
    """
    # What safetensors writes itself may be read by its owner alone, whatever the umask.
    write_atomically(path, save({key: tensor.contiguous() for key, tensor in tensors.items()}, metadata))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise UnusablePathError(f"{path} may not be read ({error.strerror}): change its permissions.") from error
    except Exception as error:  # A damaged pickle fails in any way it likes.
        raise InvalidValueError(
            f"{path} cannot be read as a plain file of tensors: it is damaged (a download that broke off?), or holds "
            f"objects, which are never executed here. Get it again, or save its tensors alone to a safetensors file. "
            f"({type(error).__name__})"
        ) from error
