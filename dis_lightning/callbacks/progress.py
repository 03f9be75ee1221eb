"""A progress bar that shows images and, within a batch, sampling steps."""

from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from dis_lightning.solvers.base import Solver
from dis_lightning.types import State

__all__ = ["SamplingProgress"]


class SamplingProgress(ProgressBar):
    """Images done out of the first process's share, and steps done in the batch under way."""

    def __init__(self) -> None:
        super().__init__()
        self._enabled = True
        self._bars: Progress | None = None

    def disable(self) -> None:
        """Show nothing; Lightning calls this on all processes but the first."""
        self._enabled = False

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bars."""
        assert isinstance(pl_module, Solver)
        if not self._enabled:
            return
        bar, count = BarColumn(), MofNCompleteColumn()
        self._bars = Progress(TextColumn("{task.description}"), bar, count, TimeElapsedColumn(), TimeRemainingColumn())
        processes = trainer.world_size
        label = "images" if processes == 1 else f"images of process 1 of {processes}"
        self._images = self._bars.add_task(label, total=None)
        self._steps = self._bars.add_task("steps", total=None)
        self._bars.start()
        pl_module.observers.append(self._on_step)

    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Say how many images there will be: all batches are as large as the first, but perhaps the last."""
        if self._bars is not None and batch_idx == 0:
            batches = int(trainer.num_predict_batches[dataloader_idx])
            self._bars.update(self._images, total=batches * len(batch["index"]))

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
        if self._bars is not None:
            self._bars.advance(self._images, len(batch["index"]))

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bars."""
        if self._bars is not None:
            self._bars.update(self._images, total=self._bars.tasks[self._images].completed)
        self._close(pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the terminal back, so that the error stands below the bars."""
        self._close(pl_module)

    def _on_step(self, state: State) -> None:
        if self._bars is not None:
            self._bars.update(self._steps, completed=state.step, total=state.steps)

    def _close(self, solver: LightningModule) -> None:
        assert isinstance(solver, Solver)
        bars, self._bars = self._bars, None  # at once: where nobody reads the bars any more, to stop them is an error
        if bars is not None:
            solver.observers.remove(self._on_step)
            bars.stop()
