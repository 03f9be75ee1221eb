"""Ending a run early, cleanly: on a signal or on an error.

Lightning's prediction loop takes no notice of SIGTERM, and with several processes its handler can wait for ever in a
collective operation. A run needs no goodbye: what is finished is in the run folder, and the same command goes on from
there.
"""

import signal
import subprocess
import sys
import threading
import time
from types import FrameType
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from dis_lightning.processes import leave_word

__all__ = ["Termination"]

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
"""What ends a run beside Ctrl-C: a system or a person, a cluster's warning, a terminal that is closed."""


class Termination(Callback):
    """End all processes of a run within seconds on a signal or on an error in one of them, and say how to go on.

    The exit status is 128 and the signal's number. A signal that the run was told to ignore, as nohup does, is ignored.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}
        self._runs = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the signals over."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (None, signal.SIG_IGN):
                    self._before.setdefault(number, signal.getsignal(number))
        self._runs = True
        self._take_over(trainer)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals over again; Lightning has set its own handlers just before."""
        self._take_over(trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the signals back."""
        self._runs = False
        while self._before:
            signal.signal(*self._before.popitem())

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """End the other processes: they would wait in their next collective operation for one that is gone.

        Where one of them has met another error, it has the time to say so.
        """
        children = _children(trainer)
        self._runs = False  # from here it ends by itself, at the latest when Python lets all go: no second exception then
        if isinstance(exception, KeyboardInterrupt) and trainer.is_global_zero:
            _say_how_to_go_on("interrupted")  # Lightning goes on from here to leave without a word
        elif isinstance(exception, Exception):
            leave_word(exception)
        _end(children, patience=1.0)

    def _take_over(self, trainer: Trainer) -> None:
        def end(number: int, frame: FrameType | None) -> None:
            if not self._runs:  # Lightning sets this handler again after an exception
                signal.signal(number, self._before[signal.Signals(number)])
                signal.raise_signal(number)
                return
            signal.signal(number, signal.SIG_IGN)
            if trainer.is_global_zero:
                _say_how_to_go_on(f"ended by {signal.Signals(number).name}")
            _end(_children(trainer))
            raise SystemExit(128 + number)

        for number in self._before:
            signal.signal(number, end)


def _say_how_to_go_on(how: str) -> None:
    goes_on = "the same command goes on from the images that are finished"
    print(f"dis-lightning: {how}; {goes_on}", file=sys.stderr, flush=True)


def _children(trainer: Trainer) -> list[subprocess.Popen[bytes]]:
    """The processes that this one has started; Lightning, which kills this one when one of them ends, forgets them."""
    launcher = trainer.strategy.launcher
    if not isinstance(launcher, _SubprocessScriptLauncher):
        return []
    children = launcher.procs.copy()
    launcher.procs.clear()
    return children


def _end(children: list[subprocess.Popen[bytes]], patience: float = 0.0) -> None:
    """End processes, after `patience` seconds in which they may end by themselves."""
    # One that hangs in a collective operation hears of no signal but SIGKILL.
    for seconds, number in ((patience, signal.SIGTERM), (2.0, signal.SIGKILL)):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and any(child.poll() is None for child in children):
            time.sleep(0.1)
        for child in children:
            child.send_signal(number)  # which those that have ended do not get
