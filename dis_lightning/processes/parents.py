"""Ending with the process that started this one: nobody waits for a part of a run that is lost, or a sweep's trial."""

import os
import signal
import threading
import time

__all__ = ["PARENT", "exit_with_parent"]

PARENT = "DIS_LIGHTNING_PARENT"
"""Environment variable through which a process tells those that it starts who it is."""


def exit_with_parent() -> None:
    """Exit when the process is gone that started this one, as one of several or as a trial of a sweep.

    To be called as early as can be, and before anything that can wait for the other processes.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return  # torchrun watches over those that it starts
    parent = os.environ.get(PARENT)
    os.environ[PARENT] = str(os.getpid())
    # Lightning numbers the processes that it starts from 1; number 0 is the one that starts them.
    first = int(os.environ.get("LOCAL_RANK", "0")) == 0
    if parent is None or (first and os.getppid() != int(parent)):
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(1)
        if first:
            os.kill(os.getpid(), signal.SIGTERM)  # a run of its own, which ends as at any time
        else:
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
