"""How far a run is: bars on a terminal, a line per batch in a log."""

import time
from contextlib import suppress
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from dis_lightning.data.base import data_of
from dis_lightning.solvers.base import Solver
from dis_lightning.types import State

__all__ = ["SamplingProgress"]


class SamplingProgress(ProgressBar):
    """Images done out of the first process's share, and how many of them an earlier run had finished.

    A terminal shows bars, of the images and of the steps of the batch under way. What is no terminal, such as the file
    that a cluster keeps, gets a line at once after every batch.
    """

    def __init__(self) -> None:
        super().__init__()
        self._enabled = True
        self._bars: Progress | None = None

    def disable(self) -> None:
        """Show nothing; Lightning calls this on all processes but the first."""
        self._enabled = False

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bars, or begin the log."""
        assert isinstance(pl_module, Solver)
        if not self._enabled:
            return
        processes = trainer.world_size
        self._label = "images" if processes == 1 else f"images of process 1 of {processes}"
        self._start = time.monotonic()
        self._total = self._done = self._reused = 0
        self._sampled = False
        pl_module.observers.append(self._on_step)
        console = Console()
        if console.is_terminal or console.is_jupyter:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bars = Progress(*columns, TimeRemainingColumn(), console=console)
            self._images = self._bars.add_task(self._label, total=None)
            self._steps = self._bars.add_task("steps", total=None)
            self._bars.start()

    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Say, once, how many images there will be."""
        if not self._enabled:
            return
        self._sampled = False
        if batch_idx == 0:
            data, batches = data_of(trainer), int(trainer.num_predict_batches[dataloader_idx])
            # Nobody knows the size of the last batch of a loader that is not ours.
            self._total = batches * len(batch["index"]) if data is None else data.share
            self._show()

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the batch's images."""
        if not self._enabled:
            return
        self._done += len(batch["index"])
        self._reused += 0 if self._sampled else len(batch["index"])
        self._show()

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bars."""
        if self._bars is not None:
            self._bars.update(self._images, total=self._done)
        self._close(pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the terminal back, so that the error stands below the bars."""
        self._close(pl_module)

    def _on_step(self, state: State) -> None:
        self._sampled = True
        if self._bars is not None:
            self._bars.update(self._steps, completed=state.step, total=state.steps)

    def _show(self) -> None:
        reused = f" ({self._reused} reused)" if self._reused else ""
        if self._bars is not None:
            self._bars.update(self._images, description=self._label + reused, completed=self._done, total=self._total)
        else:
            seconds = time.monotonic() - self._start
            print(f"{self._label}: {self._done}/{self._total}{reused}, {seconds:.0f} s", flush=True)

    def _close(self, solver: LightningModule) -> None:
        assert isinstance(solver, Solver)
        bars, self._bars = self._bars, None  # at once: where nobody reads the bars any more, to stop them is an error
        if self._on_step in solver.observers:
            solver.observers.remove(self._on_step)
        if bars is not None:
            with suppress(OSError):  # a terminal that was closed
                bars.stop()
