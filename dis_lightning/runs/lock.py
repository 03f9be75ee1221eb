"""One command at a time in a run folder.

The lock is a lease of filelock's: a file that names its owner and is renewed while the owner lives, also where the
folder is shared by hosts. What a crash leaves behind does not block: on the same host it is seen at once that the owner
is gone, from another one after half a minute without a sign of life.
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import SoftFileLease, Timeout

from dis_lightning.errors import UnusablePathError
from dis_lightning.files import usable, write_atomically
from dis_lightning.streams import say

__all__ = ["FolderLock", "held"]

LEASE = 30.0
"""Seconds without a sign of life after which an owner on another host counts as gone."""


class FolderLock:
    """The right to write into a run folder.

    Args:
        folder: the run folder, or that of a sweep; made if it is not there.
        option: by which another folder is named.
    """

    def __init__(self, folder: Path, option: str = "--writer.folder") -> None:
        self.folder = folder
        self._other = f"another folder ({option})"
        self._owner = folder / ".owner"
        self._lock = folder / ".lock"
        self._made = False
        self._lease = SoftFileLease(self._lock, lease_duration=LEASE, thread_local=False)

    def acquire(self, *, wait: bool = False) -> None:
        """Take the folder.

        Args:
            wait: whether to wait for as long as another command is at work there.

        Raises:
            UnusablePathError: if the folder cannot be written to, or another command is at work there.
        """
        with usable(self.folder, f"Give {self._other}."):
            self._made = self._made or not self.folder.exists()
            self.folder.mkdir(parents=True, exist_ok=True)
            self._clear()
            try:
                self._lease.acquire(timeout=0)
            except Timeout:
                self._wait_for_other(wait)
        whom = f"process {os.getpid()} on {socket.gethostname()} since {datetime.now():%Y-%m-%d %H:%M:%S}"
        write_atomically(self._owner, whom.encode(), durable=False)

    @property
    def mine(self) -> bool:
        """Whether the folder is held by this lock."""
        return self._lease.is_locked

    def release(self) -> None:
        """Give the folder back; one that was made here and stayed empty goes."""
        if self.mine:
            self._owner.unlink(missing_ok=True)
            self._lease.release()
            if self._made:
                with suppress(OSError):  # it is not empty
                    self.folder.rmdir()

    def _clear(self) -> None:
        """Remove a lock that names nobody, and has not for so long that nobody is about to write its name there."""
        with suppress(FileNotFoundError):
            found = self._lock.stat()
            if found.st_size == 0 and time.time() - found.st_mtime > LEASE:
                self._lock.unlink()

    def _wait_for_other(self, wait: bool) -> None:
        elsewhere = getattr(self._lease.owner, "hostname", None) != socket.gethostname()
        if wait or elsewhere:
            say(f"waiting for {self._whom()}, which holds {self.folder}")
        try:
            self._lease.acquire(timeout=-1 if wait else 1.5 * LEASE if elsewhere else 0)
        except Timeout as error:
            raise UnusablePathError(
                f"{self._whom()} is at work in {self.folder}; wait until it ends, or choose {self._other}."
            ) from error

    def _whom(self) -> str:
        try:
            return self._owner.read_text(errors="replace")
        except OSError:  # it has only just begun, or is about to end
            return "another command"


@contextmanager
def held(folder: Path, option: str = "--writer.folder", *, wait: bool = True) -> Iterator[None]:
    """Hold a folder for a while; arguments as for `FolderLock`, waits for another command to end unless told not to."""
    lock = FolderLock(folder, option)
    lock.acquire(wait=wait)
    try:
        yield
    finally:
        lock.release()
