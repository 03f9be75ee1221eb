"""Files that are never half written, and what is said where a place on a disk cannot be used."""

import ctypes
import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dis_lightning.errors import UnusablePathError

__all__ = ["REASONS", "expanded", "file_sha256", "flush", "usable", "write_atomically"]

REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your share of the disk is used up",
    errno.EFBIG: "a file may not become so large there",
    errno.EIO: "the disk has an error",
    errno.ESTALE: "it is no longer connected",
    errno.ELOOP: "it is a link in a circle",
    errno.EACCES: "you have no right to it",
    errno.EPERM: "you have no right to it",
    errno.EROFS: "it is read-only",
    errno.ENOTDIR: "a file stands where a folder is needed",
    errno.EEXIST: "a file stands where a folder is needed",
    errno.EISDIR: "a folder stands where a file is needed",
    errno.ENAMETOOLONG: "the name is too long",
}
"""What is wrong with a place, by the system's number."""


def expanded(path: str | Path) -> Path:
    """A path with a leading `~` replaced by the home folder, and `${NAME}` by an environment variable that is set."""
    return Path(os.path.expanduser(os.path.expandvars(path)))  # Path.expanduser raises where there is no such home


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits: what is published of files."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def usable(where: Path, remedy: str) -> Iterator[None]:
    """Say what is wrong with a place on a disk, and what to do.

    Args:
        where: what is written or read.
        remedy: what the user can do, a sentence.

    Raises:
        UnusablePathError: if the system refuses for a reason that the user can mend.
    """
    try:
        yield
    except UnusablePathError:
        raise
    except OSError as error:
        if error.errno not in REASONS:
            raise
        raise UnusablePathError(f"{where} cannot be used: {REASONS[error.errno]}. {remedy}") from error


def write_atomically(file: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file that is, at any moment, either as it was before or complete.

    Args:
        file: where; its folder is made.
        content: all of it.
        durable: whether it must outlive a power failure from here on; see `flush` for many files at once.

    Raises:
        UnusablePathError: if the place cannot be written to.
    """
    with usable(file, "Make room there or choose another place; the same command goes on from what is finished."):
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
        try:
            with partial.open("wb") as stream:
                stream.write(content)
                if durable:
                    stream.flush()
                    os.fsync(stream.fileno())
            partial.replace(file)
        except OSError:
            partial.unlink(missing_ok=True)
            raise


def flush(files: Iterable[Path]) -> None:
    """Have files outlive a power failure: all at once where the system can, for one flush costs about as much as many.

    Args:
        files: files that were written.
    """
    files = list(files)
    # Python has os.sync alone, which waits for every file system of the machine, be it a server that is away.
    syncfs = getattr(ctypes.CDLL(None), "syncfs", None) if os.name == "posix" else None
    one_each = {file.stat().st_dev: file for file in files}.values()
    if syncfs is None or any(_with_descriptor(file, syncfs) for file in one_each):
        for file in files:
            _with_descriptor(file, os.fsync)


def _with_descriptor(file: Path, flush: Callable[[int], int | None]) -> int | None:
    with file.open("rb") as stream:
        return flush(stream.fileno())
