"""Ending a run early, cleanly: on a signal, on an error, or when the process that started this one is gone.

Lightning's prediction loop takes no notice of SIGTERM, and with several processes its handler can wait for ever in a
collective operation. A run needs no goodbye: what is finished is in the run folder, and the same command goes on from
there.
"""

import os
import signal
import threading
import time
from types import FrameType

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

__all__ = ["Termination", "exit_with_parent"]

PARENT = "DIS_LIGHTNING_PARENT"
"""Environment variable through which a process tells those that it starts who it is."""


class Termination(Callback):
    """End all processes of a run within seconds on SIGTERM, SIGUSR1 (a cluster's warning) or an error in the first."""

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals over; Lightning has set its own handlers just before."""
        if threading.current_thread() is not threading.main_thread():
            return

        def end(signum: int, frame: FrameType | None) -> None:
            signal.signal(signum, signal.SIG_IGN)
            _end_children(trainer)
            raise SystemExit(128 + signum)

        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, end)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """End the other processes: they would wait in their next collective operation for one that is gone.

        Where all have met the same error, each has the time to say so.
        """
        if isinstance(exception, KeyboardInterrupt) and trainer.is_global_zero:
            # Lightning goes on from here to leave without a word.
            print("dis-lightning: interrupted; the same command goes on from the images that are finished", flush=True)
        _end_children(trainer, patience=3.0)


def exit_with_parent() -> None:
    """Exit when the process that started this one as one of several is gone.

    To be called before anything that can wait for the other processes.
    """
    parent = os.environ.get(PARENT)
    os.environ[PARENT] = str(os.getpid())
    # Lightning numbers the processes that it starts from 1; number 0 is the one that starts them.
    if parent is None or int(os.environ.get("LOCAL_RANK", "0")) == 0:
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _end_children(trainer: Trainer, patience: float = 0.0) -> None:
    """End the processes that this one has started, after `patience` seconds in which they may end by themselves."""
    launcher = trainer.strategy.launcher
    if not isinstance(launcher, _SubprocessScriptLauncher):
        return
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and any(process.poll() is None for process in launcher.procs):
        time.sleep(0.1)
    launcher.kill(signal.SIGTERM)
