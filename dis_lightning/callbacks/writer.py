"""The writer: puts every finished image into the run folder, and sums the run up at its end.

The run folder is a ledger (see `RunFolder`). Running the same command again reads finished batches back and computes
only the rest; so a run that was killed and one that was not end in the same files. `metrics.json` goes as soon as any
process computes an image anew; where none does, it keeps what other metrics have added since.
"""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
import torch.distributed
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from dis_lightning.callbacks.loggers import log_picture
from dis_lightning.data.base import data_of
from dis_lightning.errors import InvalidValueError
from dis_lightning.files import expanded
from dis_lightning.images import quantise
from dis_lightning.metrics.base import Metric, callbacks_of
from dis_lightning.operators.base import LabelOperator, Operator
from dis_lightning.runs.configuration import check_configuration, fingerprint
from dis_lightning.runs.folder import Kept, RunFolder, read_png
from dis_lightning.runs.grid import draw_grid
from dis_lightning.runs.lock import FolderLock
from dis_lightning.runs.summary import Found, Summary, flatten, sum_up
from dis_lightning.runs.table import print_summary
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Draws, Measurement, Reconstruction
from dis_lightning.weights.digests import weights_digest

__all__ = ["Writer"]


class _Share(NamedTuple):
    """What one process knows of the run."""

    indices: list[int]
    found: Found
    reused: int


class Writer(Callback):
    """Write images, records and the summary of a run into its folder, and take it up again where it stopped.

    Args:
        folder: the run folder. All processes must see it.
        grid_images: number of images, the first ones, in `grid.png`.
        grid_samples: number of posterior samples of each image in `grid.png`.
        reported: what a paper reports for such a run: its name and table as `source`, and values by metric; the report
            page shows them beside the run's own.

    Attributes:
        configuration: what the run is made of; a folder made by another one is refused. The command line puts its whole
            configuration here; otherwise the solver's description, a digest of its tensors, and the data's class and
            number of images stand for it.

    Raises:
        ValueError: if an argument is out of range or, at the start of a run, if the folder belongs to another one, or
            the trainer would leave images out.
    """

    def __init__(
        self,
        folder: str | Path = "outputs/run",
        grid_images: int = 8,
        grid_samples: int = 3,
        reported: dict[str, str | float] | None = None,
    ) -> None:
        if grid_images < 1 or grid_samples < 1:
            raise InvalidValueError(
                f"A grid needs at least one image and one sample, but got {grid_images}, {grid_samples}."
            )
        self.folder = RunFolder(expanded(folder))
        self.grid_images = grid_images
        self.grid_samples = grid_samples
        self.reported = reported
        self.configuration: dict[str, Any] | None = None
        self._indices: list[int] = []
        self._reused: set[int] = set()
        self._summary: Summary | None = None
        self._lock = FolderLock(self.folder.path)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check that the folder is this run's, and let the solver recall what is finished in it."""
        assert isinstance(pl_module, Solver)
        limit = trainer.limit_predict_batches  # a number of batches, or a share of them
        if isinstance(limit, int) or limit < 1:
            raise InvalidValueError(
                f"A run folder holds all images of its data, but limit_predict_batches={limit} leaves some out; take "
                "fewer images instead (--data.num_images)."
            )
        if trainer.is_global_zero:
            self._lock.acquire()
            self.folder.sweep()
        if self.configuration is None:
            pl_module.load(trainer.strategy.root_device)  # so that it is described the same whoever has read it before
        configuration = self.configuration or _describe(pl_module, trainer)
        check_configuration(self.folder, configuration, write=trainer.is_global_zero)
        self._made_by = fingerprint(configuration)
        pl_module.recall = self._recall
        self._indices, self._reused = [], set()
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.log_hyperparams(configuration)
        if trainer.world_size > 1:
            # Python objects travel over gloo whatever the backend of the devices is. One process may wait for another's
            # last batch much longer than the usual half an hour.
            self._group = torch.distributed.new_group(backend="gloo", timeout=timedelta(days=30))

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let go of the solver, which may be used elsewhere."""
        self._let_go(pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Let go of the folder and the solver; a run that made nothing leaves no configuration either."""
        if self._lock.mine and not self.folder.indices():
            self.folder.configuration.unlink(missing_ok=True)
        self._let_go(pl_module)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: Solver,  # type: ignore[override] # this callback goes with solvers only
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the images that have no record yet."""
        indices, kept = outputs.indices.tolist(), _kept(outputs, pl_module.operator)
        for index, image in zip(indices, kept, strict=True):
            self._indices.append(index)
            self._check_same(index, image)
        self.folder.write(indices, kept, outputs.draws, self._made_by)

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the metrics of all processes and write `results.csv`, `metrics.json` and `grid.png`."""
        metrics = callbacks_of(trainer, Metric)  # type: ignore[type-abstract] # asked for, not built
        share = self._gather(_Share(self._indices, [metric.rows for metric in metrics], len(self._reused)), trainer)
        if share is None:
            return
        summary = sum_up(self.folder, metrics, share.found, share.indices)
        records = [self.folder.require(index) for index in share.indices[: self.grid_images]]
        draw_grid(self.folder, records, self.grid_samples)
        for logger in trainer.loggers:
            logger.log_metrics(flatten(summary))
            log_picture(logger, "grid", read_png(self.folder.grid))
        self._summary, self._reused_in_all = summary, share.reused

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the summary, below everything else."""
        if self._summary is not None:
            print_summary(self._summary, self.folder, self._reused_in_all)

    def _gather(self, share: _Share, trainer: Trainer) -> _Share | None:
        """Bring what all processes know, in the order of the images, to the first process; None on the others."""
        parts: list[Any] | None = [share]
        if trainer.world_size > 1:
            group = cast(torch.distributed.ProcessGroup, self._group)
            met = torch.distributed.barrier(group=group, async_op=True)
            while met is not None and not met.is_completed():
                time.sleep(0.1)  # not in the barrier itself, where signals would go unheard
            parts = [None] * trainer.world_size if trainer.is_global_zero else None
            torch.distributed.gather_object(share, parts, group=group)
        if parts is None:
            return None
        shares: list[_Share] = parts
        found = [
            dict(sorted((index, row) for rows in of_one_metric for index, row in rows.items()))
            for of_one_metric in zip(*(part.found for part in shares), strict=True)
        ]
        indices = sorted(index for part in shares for index in part.indices)
        return _Share(indices, found, sum(part.reused for part in shares))

    def _recall(self, indices: Tensor) -> Draws | None:
        """Read a finished batch back; forget a broken one, which is then computed whole, as it was the first time."""
        draws = self.folder.recall(indices.tolist())
        if draws is None:
            for index in indices.tolist():
                self.folder.forget(index)
            self.folder.metrics.unlink(missing_ok=True)
        else:
            self._reused.update(indices.tolist())
        return draws

    def _check_same(self, index: int, image: Kept) -> None:
        """Refuse an image whose place in the folder another one has."""
        record = self.folder.record(index)
        if record is None or self.folder.shows(index, image):
            return
        raise InvalidValueError(
            f"{image.name} is image {index} of the data now, but the folder {self.folder.path} holds the "
            f"reconstruction of another one, {record['name']}; choose another folder (--writer.folder), or restore the "
            "data."
        )

    def _let_go(self, solver: LightningModule) -> None:
        assert isinstance(solver, Solver)
        solver.recall = None
        self._lock.release()


def _kept(outputs: Reconstruction, operator: Operator) -> list[Kept]:
    """What is kept of every image of a batch."""
    images, values = len(outputs.names), outputs.measurement
    sources = [None] * images if outputs.source is None else list(outputs.source)
    labels = [None] * images if outputs.labels is None else outputs.labels.tolist()
    pictures, palette = _pictures(values, operator)
    classes = operator.classes if isinstance(operator, LabelOperator) else ()
    return [
        Kept(name, source, value, picture, palette, label, classes)
        for name, source, value, picture, label in zip(outputs.names, sources, values, pictures, labels, strict=True)
    ]


def _pictures(measurement: Measurement, operator: Operator) -> tuple[Tensor, Tensor | None]:
    """Measurements as 8-bit pictures, or maps of classes with the palette that colours them."""
    if isinstance(operator, LabelOperator) and isinstance(measurement, Tensor) and measurement.ndim == 3:
        return measurement, operator.palette
    return quantise(operator.picture(measurement)), None


def _describe(solver: Solver, trainer: Trainer) -> dict[str, Any]:
    """What a run is made of, where no configuration says it: the solver, the content of its tensors, and the data."""
    description = {"solver": repr(solver).splitlines(), "tensors": weights_digest(solver)}
    if not (data := data_of(trainer)):
        return description
    path = f"{type(data).__module__}.{type(data).__qualname__}"
    return {**description, "data": {"class_path": path, "init_args": {"num_images": data.num_images}}}
