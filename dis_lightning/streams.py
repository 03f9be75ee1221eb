"""What the program says, and where nobody can hear it: a closed pipe or terminal, a full disk."""

import errno
import logging
import os
import select
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import TextIO

__all__ = ["fails", "is_full", "lost", "quieten", "say", "silence", "unread"]


def say(line: str) -> None:
    """Say a line on the standard error. Where that is lost, nothing more is said: not to be heard is no error."""
    try:
        print(f"dis-lightning: {line}", file=sys.stderr, flush=True)
    except OSError as error:
        terminal = error.errno == errno.EIO  # was closed, and what is printed goes there too
        silence([sys.stderr, sys.stdout] if terminal else [sys.stderr])


def quieten() -> None:
    """Leave out what libraries say of themselves: Lightning's tips, that it finds no TPU, and calls in old ways."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # lightning 2.6 still calls torch 2.15 and jsonargparse 4.53 in old ways.
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    warnings.filterwarnings("ignore", "`isinstance\\(treespec, LeafSpec\\)` is deprecated")
    # Runs are started from other programs too, which have arguments of their own.
    warnings.filterwarnings("ignore", "LightningCLI's args parameter is intended")
    # Images are read as fast as they are sampled, by far, and on clusters one process has many cores.
    warnings.filterwarnings("ignore", "The 'predict_dataloader' does not have many workers")
    # Nor is it a mistake to try a run where Slurm is installed; tasks that do not fit the run are refused.
    warnings.filterwarnings("ignore", "The `srun` command is available on your system")


def is_full(error: Exception) -> bool:
    """Whether what was to be written has no room, where the error does not say which file: a log, or what is said."""
    return isinstance(error, OSError) and error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT)


def lost(test: Callable[[TextIO], bool]) -> list[TextIO]:
    """Those of the standard output and error that a test, `fails` or `unread`, is true of."""
    streams: list[TextIO | None] = [sys.stdout, sys.stderr]  # None where the shell has closed it
    return [stream for stream in streams if stream is not None and test(stream)]


def silence(streams: Iterable[TextIO | None]) -> None:
    """Have what is said there from now on, be it when Python ends, go nowhere."""
    for stream in filter(None, streams):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def fails(stream: TextIO) -> bool:
    """Whether a stream does not take what it holds."""
    try:
        stream.flush()
    except OSError:
        return True
    return False


def unread(stream: TextIO) -> bool:
    """Whether a stream leads to a pipe that nobody reads any more, as in `dis-lightning ... | head`."""
    poll = select.poll()
    poll.register(stream, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
