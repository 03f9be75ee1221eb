"""Several processes of one run: that all of them start, and that one of them speaks for all."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import torch.distributed as dist
from torch.distributed.distributed_c10d import _get_default_store

from dis_lightning.errors import InvalidValueError, LostProcessError
from dis_lightning.streams import say

if TYPE_CHECKING:
    from lightning import Trainer

__all__ = ["leave_word", "meet", "own_name", "require_slurm_tasks", "said_already", "waiting_aloud"]

PATIENCE = 10.0
"""Seconds until a process says that it waits for the others."""

HEARING = 3.0
"""Seconds that a process gives others to tell of an error, or to hear of its own."""

HERE, ENDED, WORD, HEARD = "here", "ended", "word", "heard"
"""What the processes keep in their common store: how many have come to a meeting; who has ended before it; by which
error the first has; and how many have heard of that."""

_meetings = 0


def own_name() -> str:
    """How a process begins what it says where it is not the first one; empty for the first, and for a single one."""
    if dist.is_initialized():
        rank = dist.get_rank()
        return f"process {rank + 1} on {socket.gethostname()}: " if rank else ""
    return f"on {socket.gethostname()}: " if _number("GROUP_RANK", "NODE_RANK", "SLURM_NODEID") else ""


def require_slurm_tasks(processes: int) -> None:
    """Refuse a run that Slurm starts several times over.

    Args:
        processes: of how many processes the run is.

    Raises:
        InvalidValueError: if Slurm has started another number of them.
    """
    tasks, nodes = _number("SLURM_NTASKS") or 1, _number("SLURM_NNODES") or 1
    by_hand = "SLURM_PROCID" not in os.environ or os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    if tasks == 1 or by_hand or "TORCHELASTIC_RUN_ID" in os.environ:
        return
    each = -(-tasks // nodes)
    if tasks != processes:
        raise InvalidValueError(
            f"Slurm starts {tasks} tasks, but the run is for {processes} process{'es' * (processes > 1)}, each a task "
            f"of its own. Set --trainer.strategy=ddp --trainer.devices={each} --trainer.num_nodes={nodes} and start it "
            "by srun, or ask Slurm for as many tasks as the run has processes."
        )
    if "SLURM_NTASKS_PER_NODE" not in os.environ:
        raise InvalidValueError(
            f"Slurm was asked for {tasks} tasks in all; ask for so many on each node (--ntasks-per-node={each})."
        )


@contextmanager
def waiting_aloud(trainer: "Trainer") -> Iterator[None]:
    """Within, say so if the other processes, which somebody else must start, do not come.

    Raises:
        LostProcessError: if they have not come when the trainer gives up.
    """
    environment = getattr(trainer.strategy, "cluster_environment", None)
    elsewhere = environment is not None and (environment.creates_processes_externally or trainer.num_nodes > 1)
    come = threading.Event()

    def tell() -> None:
        if not come.wait(PATIENCE) and not dist.is_initialized():
            say(_waiting(trainer))

    if elsewhere and trainer.world_size > 1:
        threading.Thread(target=tell, daemon=True).start()
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        if "EADDRINUSE" in str(error):
            taken = "another program has that port; set MASTER_PORT to another"
            raise LostProcessError(f"The processes cannot meet at {_place()}: {taken}.") from error
        gone = "another process is gone" if dist.is_initialized() else f"the others have not come; {_waiting(trainer)}"
        raise LostProcessError(f"The connection failed: {gone}.") from error
    finally:
        come.set()


def meet() -> None:
    """Wait until all processes have come to this place.

    Raises:
        LostProcessError: on the first, if another one has ended on its way.
        SystemExit: on the others, if one has ended; the first says so.
    """
    global _meetings
    store, world = _get_default_store(), dist.get_world_size()
    store.add(_key(HERE), 1)
    while store.add(_key(HERE), 0) < world:
        if dist.get_rank() > 0 and store.check([_key(WORD)]):
            raise SystemExit(2)
        if dist.get_rank() == 0 and store.check([_key(ENDED)]):
            raise LostProcessError(f"{store.get(_key(ENDED)).decode()} has ended before anything was sampled.")
        time.sleep(0.1)
    _meetings += 1


def leave_word(error: BaseException) -> None:
    """Have the other processes know that this one ends; the first says, for all who end by the same error, by which."""

    def leave() -> None:
        store = _get_default_store()
        if dist.get_rank() > 0:
            name = f"Process {dist.get_rank() + 1} of {dist.get_world_size()} on {socket.gethostname()}"
            store.set(_key(ENDED), name)
            return
        store.set(_key(WORD), _word(error))
        deadline = time.monotonic() + HEARING
        while store.add(_key(HEARD), 0) < dist.get_world_size() - 1 and time.monotonic() < deadline:
            time.sleep(0.1)

    if dist.is_initialized():
        _aside(leave)


def said_already(error: BaseException) -> bool:
    """Whether the first process says what this one would say; a process that is not the first gives it a moment."""
    if not dist.is_initialized():
        return _host_rank() > 0  # too early to know of each other: one process of each host speaks
    if dist.get_rank() == 0 or isinstance(error, LostProcessError):
        return False
    heard: list[str] = []

    def listen() -> None:
        store = _get_default_store()
        store.wait([_key(WORD)], timedelta(seconds=HEARING))
        heard.append(store.get(_key(WORD)).decode())
        store.add(_key(HEARD), 1)

    _aside(listen)
    return heard == [_word(error)]


def _aside(action: Callable[[], None]) -> None:
    """Do something with the common store beside this thread: that of a host that is down does not answer."""

    def do() -> None:
        with suppress(RuntimeError):
            action()

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join(HEARING + 1)


def _waiting(trainer: "Trainer") -> str:
    here = trainer.global_rank + 1
    return (
        f"process {here} of {trainer.world_size}, on {socket.gethostname()}, waits for the others at {_place()}; start "
        "the same command on every host by srun or torchrun, or, for this process alone, set --trainer.devices=1 "
        "--trainer.num_nodes=1"
    )


def _place() -> str:
    return ":".join(os.environ.get(name, "?") for name in ("MASTER_ADDR", "MASTER_PORT"))


def _key(name: str) -> str:
    return f"dis_lightning/{_meetings}/{name}"


def _word(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _host_rank() -> int:
    """Number of this process among those on its host, as far as whoever started it has said."""
    return _number("LOCAL_RANK", "SLURM_LOCALID")


def _number(*names: str) -> int:
    """The first of these environment variables that is set; 0 where none is."""
    return int(next(filter(None, map(os.environ.get, names)), 0))
