"""The processes of a run, as they see each other in its folder.

Each has a file there that it touches every few seconds. The first process looks at those of all others, and they look
at its own. Whose file has not changed for most of a minute is lost: its host is down, or the network, or it was ended
by force. Of those that it has started itself a process knows at once. Ages are counted by the clock of who looks, from
when it last saw a change, for the clocks of hosts differ.
"""

import os
import secrets
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from typing import Any

import torch.distributed
from torch.distributed import ProcessGroup

from dis_lightning.errors import LostProcessError, UnusablePathError, UserError
from dis_lightning.streams import say

__all__ = ["Companions", "by_first"]

BEAT = 2.0
"""Seconds from one sign of life to the next."""

SILENCE = 45.0
"""Seconds without a sign of life after which a process is lost."""

PAUSE = 10.0
"""More seconds than this from one look to the next mean that this process was stopped, or waited for the disk."""

SIGHT = 30.0
"""Seconds that a new file may take to be seen on another host: network file systems remember what was not there."""

GRACE = 10.0
"""Seconds to end in for a process that has lost another; where it waits for that very one, it never would."""

WORKS, WAITS, ENDED = "works", "waits", "ended"
"""What a process says of itself: its share is not done; it is; it has ended before its time."""

NEWS = 2.0
"""Seconds until it is known which process it was that a broken connection has lost, if it can be known by its exit."""

GOES_ON = "Finished images are kept, and the same command goes on from them."


class Companions:
    """The processes of a run, seen by one of them.

    Args:
        folder: the run folder.
        group: all processes; they make this object together.
        first_here: whether this process is the first one on its host, and speaks for it.
        launched: the processes that this one has started, in the order of their numbers.

    Raises:
        UnusablePathError: on all processes, if there is one that does not see the folder of the first.
    """

    def __init__(
        self, folder: Path, group: ProcessGroup, *, first_here: bool, launched: Sequence[Popen[bytes]]
    ) -> None:
        self._folder, self._group = folder / ".processes", group
        self._rank, self._world = group.rank(), group.size()
        self._first_here, self._launched = first_here, tuple(launched)
        self._watched = range(1, self._world) if self._rank == 0 else [0]
        self._gone = threading.Event()
        self._hosts = self._meet(folder, group)
        # The last sign of each, and when it was new.
        self._seen = dict.fromkeys(self._watched, (("", 0), time.monotonic()))
        self._looked, self._looking = time.monotonic(), threading.Lock()
        self._lost: BaseException | None = None
        threading.Thread(target=self._live, daemon=True).start()

    def require(self) -> None:
        """Go no further where another process is gone.

        Raises:
            LostProcessError: if one is, and this process is the one to say so.
            SystemExit: if one is, and another process says so.
        """
        if self._lost is not None:
            raise self._lost

    def gather(self, share: Any) -> list[Any] | None:
        """Wait until all processes are done, and bring what each of them knows to the first.

        Args:
            share: what this process knows.

        Returns:
            What they know, by their numbers; None on all but the first.

        Raises:
            LostProcessError: if one of them is gone, and this process is the one to say so.
            SystemExit: if one of them is gone, and another process says so.
        """
        if self._rank > 0:  # the first process says it when all others have
            self._say(WAITS)
        while not all(self._state(rank) == WAITS for rank in self._watched):
            self.require()
            time.sleep(0.2)
            self._look()
        self._say(WAITS)
        shares: list[Any] | None = [None] * self._world if self._rank == 0 else None
        try:
            torch.distributed.gather_object(share, shares, group=self._group)
        except RuntimeError as error:  # one that was there a moment ago
            deadline = time.monotonic() + NEWS
            while time.monotonic() < deadline:
                self._look()
                self.require()
                time.sleep(0.2)
            raise LostProcessError(f"Another process was lost at the end of the run. {GOES_ON}") from error
        self.leave(early=False)
        return shares

    def leave(self, *, early: bool) -> None:
        """Give no more signs of life.

        Args:
            early: whether before all were done; then the others end too.
        """
        self._gone.set()
        if early:
            self._say(ENDED)
        elif self._rank > 0:
            self._file(self._rank).unlink(missing_ok=True)
        else:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _meet(self, folder: Path, group: ProcessGroup) -> list[str]:
        """See that all look at the same folder; give their hosts."""
        token = [secrets.token_hex(8)]
        if self._rank == 0:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir()
            self._file(0, token[0]).touch()
        torch.distributed.broadcast_object_list(token, src=0, group=group)
        self._token = token[0]
        deadline = time.monotonic() + SIGHT
        while not (sees := self._file(0).exists()) and time.monotonic() < deadline:
            time.sleep(0.2)
        if sees:
            self._say(WORKS)
        met: list[tuple[str, str, bool]] = [("", "", False)] * self._world
        torch.distributed.all_gather_object(met, (socket.gethostname(), str(folder), sees), group=group)
        hosts = [host for host, *_ in met]
        if blind := [f"process {_which(rank, hosts)} ({path})" for rank, (_, path, sees) in enumerate(met) if not sees]:
            self.leave(early=False)
            raise UnusablePathError(
                f"The run folder of process {_which(0, hosts)} ({met[0][1]}) is not that of {' and '.join(blind)}. All "
                "processes write into one folder: give one that all hosts share (--writer.folder)."
            )
        return hosts

    def _live(self) -> None:
        """Give signs of life, and look for those of others, beside whatever this process does."""
        while not self._gone.wait(BEAT):
            with suppress(OSError):
                os.utime(self._file(self._rank))
            self._look()
            if self._lost is not None and not self._gone.wait(GRACE):
                if isinstance(self._lost, LostProcessError):
                    say(str(self._lost))
                os._exit(2)

    def _look(self) -> None:
        with self._looking:
            if time.monotonic() - self._looked > PAUSE:  # Ctrl-Z and the like stop the others too: silence counts anew
                self._seen = {rank: (sign, time.monotonic()) for rank, (sign, _) in self._seen.items()}
            self._look_at_each()
            self._looked = time.monotonic()

    def _look_at_each(self) -> None:
        for rank in self._watched:
            sign, (last, since) = self._sign(rank), self._seen[rank]
            if sign != last:
                self._seen[rank] = sign, time.monotonic()
            if self._state(rank) == ENDED:
                self._lose(rank, _ending())
            elif sign == last and time.monotonic() - since > SILENCE:
                silent = f"has given no sign of life for {SILENCE:.0f} seconds: its host or the network is down."
                self._lose(rank, silent)
        for rank, process in enumerate(self._launched, self._rank + 1):
            if status := process.poll():  # neither None nor 0
                self._lose(rank, _ending(status))

    def _lose(self, rank: int, how: str) -> None:
        # The first process has spoken when it ends by itself; where it is lost, one process of each host speaks.
        speaks = self._rank == 0 or (self._first_here and self._state(0) != ENDED)
        lost = LostProcessError(f"Process {_which(rank, self._hosts)} {how} {GOES_ON}")
        self._lost = self._lost or (lost if speaks else SystemExit(2))

    def _state(self, rank: int) -> str:
        (state, _), _ = self._seen[rank]
        return state

    def _say(self, state: str) -> None:
        with suppress(OSError):
            self._file(self._rank).write_text(state)

    def _sign(self, rank: int) -> tuple[str, int]:
        """What a process says of itself, and when; nothing where it has left."""
        try:
            with self._file(rank).open() as file:  # opened, for what a network file system knows of a file may be old
                return file.read(), os.fstat(file.fileno()).st_mtime_ns
        except OSError:
            return "", 0

    def _file(self, rank: int, token: str | None = None) -> Path:
        # By the token a name is new in every run: a new one cannot be remembered as missing.
        return self._folder / f"{token or self._token}.{rank:05d}"


def by_first(action: Callable[[], None], group: ProcessGroup | None) -> None:
    """Have the first of all processes do something for all.

    Args:
        action: what it does.
        group: all processes; None where there is one alone.

    Raises:
        UserError: on all of them, what the first has met.
    """
    met: list[UserError | None] = [None]
    if group is None or group.rank() == 0:
        try:
            action()
        except UserError as error:
            met = [error]
    if group is not None:
        torch.distributed.broadcast_object_list(met, src=0, group=group)
    if met[0] is not None:
        raise met[0]


def _ending(status: int = 1) -> str:
    """What is said of a process that has ended, by its exit status."""
    if status >= 0:
        return "has ended before its time."
    memory = ", as a system does that has no memory left" if -status == signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-status).name}{memory}."


def _which(rank: int, hosts: list[str]) -> str:
    return f"{rank + 1} of {len(hosts)} on {hosts[rank]}"
