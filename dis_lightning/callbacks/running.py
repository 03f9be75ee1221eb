"""Means over the images so far, while a run goes on: for watching it, and for sweeps that end bad trials early."""

import json
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from dis_lightning.described import Described
from dis_lightning.files import expanded
from dis_lightning.metrics.base import ImageMetric, callbacks_of
from dis_lightning.runs.summary import means_so_far

__all__ = ["RunningMeans"]


class RunningMeans(Described, Callback):
    """Gives loggers the mean of every metric of single images, after each batch, by its final name (`metrics/psnr`).

    The step is the number of images so far, those of the first process alone. Metrics of the whole set come at the end,
    as ever. A run that goes on gives the images that were finished before again.

    Args:
        file: a file that gets them in place of the loggers, a line of JSON for each batch, with the number of `images`.
    """

    def __init__(self, file: str | Path | None = None) -> None:
        self.file = None if file is None else expanded(file)
        self._images = 0

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        self._images = 0
        if self.file is not None and trainer.is_global_zero:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_text("")

    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Give the means of the batches before: whatever the order of callbacks, their metrics are known now."""
        self._give(trainer)

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give those of all batches."""
        self._give(trainer)

    @rank_zero_only
    def _give(self, trainer: Trainer) -> None:
        metrics = callbacks_of(trainer, ImageMetric)  # type: ignore[type-abstract] # asked for, not built
        images = max((len(metric.rows) for metric in metrics), default=0)
        if images == self._images:
            return
        self._images, means = images, means_so_far(metrics)
        if self.file is None:
            for logger in trainer.loggers:
                logger.log_metrics(means, step=images)
        else:
            with self.file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"images": images, **means}) + "\n")
