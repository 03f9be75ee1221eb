"""Ending a run early, cleanly: on a signal or on an error.

Lightning's prediction loop takes no notice of SIGTERM, and with several processes its handler can wait for ever in a
collective operation. A run needs no goodbye: what is finished is in the run folder, and the same command goes on from
there.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from dis_lightning.processes.meeting import leave_word
from dis_lightning.streams import say

__all__ = ["Termination", "take_launched"]

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
"""What ends a run beside Ctrl-C: a system or a person, a cluster's warning, a terminal that is closed."""


class Termination(Callback):
    """End all processes of a run within seconds on a signal or on an error in one of them, and say how to go on.

    The exit status is 128 and the signal's number. A signal that the run was told to ignore, as nohup does, is ignored.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}
        self._ended_by = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the signals over."""
        self._give_back(trainer)
        self._ended_by = 0
        if threading.current_thread() is not threading.main_thread():
            return
        connector = trainer._signal_connector
        # Lightning's own would take their place, and wait for the other processes in a collective operation.
        connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
        connector._original_handlers = {signal.SIGINT: signal.getsignal(signal.SIGINT)}  # or Ctrl-C works once only
        for number in SIGNALS:
            if signal.getsignal(number) not in (None, signal.SIG_IGN):
                self._before[number] = signal.getsignal(number)
        end = self._handler(trainer)
        for number in self._before:
            signal.signal(number, end)

    def on_predict_batch_start(self, *_: Any) -> None:
        """End now where Python has swallowed the end, as it does with what is raised while it frees an object."""
        if self._ended_by:
            raise SystemExit(128 + self._ended_by)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the signals back."""
        self._give_back(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """End the other processes: they would wait in their next collective operation for one that is gone.

        Where one of them has met another error, it has the time to say so.
        """
        if not self._ended_by:  # or another signal would cut the end short
            self._give_back(trainer)  # the run ends by itself, and Python may be letting all go when a signal comes
        children = take_launched(trainer)
        if isinstance(exception, KeyboardInterrupt) and trainer.is_global_zero:
            _say_how_to_go_on("interrupted")  # Lightning goes on from here to leave without a word
        elif isinstance(exception, Exception):
            leave_word(exception)
        _end(children, patience=1.0)

    def _handler(self, trainer: Trainer) -> Callable[[int, FrameType | None], None]:
        own = os.getpid()

        def end(number: int, frame: FrameType | None) -> None:
            if os.getpid() != own:  # a fork of this process, such as a reader of images, which this process ends
                if number == signal.SIGTERM:
                    signal.signal(number, self._before[signal.SIGTERM])
                    signal.raise_signal(number)
                return
            # Where a reader has ended too, torch would make an error of SIGCHLD. Not SIG_IGN: both may be pending.
            for other in (*self._before, signal.SIGCHLD):
                signal.signal(other, lambda *_: None)
            self._ended_by = number
            if trainer.is_global_zero:
                _say_how_to_go_on(f"ended by {signal.Signals(number).name}")
            _end(take_launched(trainer))
            raise SystemExit(128 + number)

        return end

    def _give_back(self, trainer: Trainer) -> None:
        vars(trainer._signal_connector).pop("register_signal_handlers", None)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()


def take_launched(trainer: Trainer) -> list[subprocess.Popen[bytes]]:
    """The processes that this one has started through Lightning; who takes them watches them in its place.

    Lightning would kill this process, before it can say a word, when one of them has ended.
    """
    launcher = trainer.strategy.launcher
    if not isinstance(launcher, _SubprocessScriptLauncher):
        return []
    watched, launcher.procs = launcher.procs, launcher.procs.copy()
    watched.clear()
    return launcher.procs


def _say_how_to_go_on(how: str) -> None:
    goes_on = "the same command goes on from the images that are finished"
    say(f"{how}; {goes_on}")


def _end(children: list[subprocess.Popen[bytes]], patience: float = 0.0) -> None:
    """End processes, after `patience` seconds in which they may end by themselves."""
    # One that hangs in a collective operation hears of no signal but SIGKILL.
    for seconds, number in ((patience, signal.SIGTERM), (2.0, signal.SIGKILL)):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and any(child.poll() is None for child in children):
            time.sleep(0.1)
        for child in children:
            child.send_signal(number)  # which those that have ended do not get
