"""The writer: puts every finished image into the run folder, and sums the run up at its end.

The run folder is a ledger (see `RunFolder`). Running the same command again reads finished batches back and computes
only the rest; so a run that was killed and one that was not end in the same files.
"""

import hashlib
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from dis_lightning.callbacks.configuration import check_configuration
from dis_lightning.callbacks.folder import RunFolder, read_png
from dis_lightning.callbacks.grid import draw_grid
from dis_lightning.callbacks.metric import ImageMetric
from dis_lightning.callbacks.summary import (
    Rows,
    Summary,
    flatten,
    print_summary,
    summarise,
    write_metrics,
    write_results,
)
from dis_lightning.images import quantise
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Draws

__all__ = ["Writer"]


class Writer(Callback):
    """Write images, records and the summary of a run into its folder, and take it up again where it stopped.

    Args:
        folder: the run folder. All processes must see it.
        grid_images: number of images, the first ones, in `grid.png`.
        grid_samples: number of posterior samples of each image in `grid.png`.

    Attributes:
        configuration: what the run is made of; a folder made by another one is refused. The command line puts its whole
            configuration here; otherwise the solver's description and a digest of its tensors stand for it.

    Raises:
        ValueError: if an argument is out of range or, at the start of a run, if the folder belongs to another one.
    """

    def __init__(self, folder: str | Path = "outputs/run", grid_images: int = 8, grid_samples: int = 3) -> None:
        if grid_images < 1 or grid_samples < 1:
            raise ValueError(f"A grid needs at least one image and one sample, but got {grid_images}, {grid_samples}.")
        self.folder = RunFolder(Path(folder))
        self.grid_images = grid_images
        self.grid_samples = grid_samples
        self.configuration: dict[str, Any] | None = None
        self._indices: list[int] = []
        self._summary: Summary | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check that the folder is this run's, and let the solver recall what is finished in it."""
        assert isinstance(pl_module, Solver)
        if trainer.is_global_zero:
            self.folder.sweep()
        configuration = self.configuration or _describe(pl_module)
        check_configuration(self.folder.path, configuration, write=trainer.is_global_zero)
        pl_module.recall = self._recall
        self._indices = []
        if trainer.world_size > 1:
            # Python objects travel over gloo whatever the backend of the devices is. One process may wait for another's
            # last batch much longer than the usual half an hour.
            self._group = torch.distributed.new_group(backend="gloo", timeout=timedelta(days=30))

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let go of the solver, which may be used elsewhere."""
        assert isinstance(pl_module, Solver)
        pl_module.recall = None

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
        sources = quantise(outputs.source)
        measurements = quantise(pl_module.operator.picture(outputs.measurement))
        for row, index in enumerate(outputs.indices.tolist()):
            self._indices.append(index)
            if not self.folder.finished(index):
                self.folder.write(index, outputs.names[row], sources[row], measurements[row], outputs.draws, row)
            elif not torch.equal(read_png(self.folder.source(index)), sources[row].cpu()):
                raise ValueError(
                    f"{outputs.names[row]} is image {index} of the data now, but the folder {self.folder.path} holds "
                    f"the reconstruction of another one, {self.folder.record(index)['name']}; choose another folder "
                    "(--writer.folder), or restore the data."
                )

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the metrics of all processes and write `results.csv`, `metrics.json` and `grid.png`."""
        rows: Rows = {index: {} for index in self._indices}
        for metric in trainer.callbacks:  # type: ignore[attr-defined] # set by Lightning out of mypy's sight
            if isinstance(metric, ImageMetric):
                for index, values in metric.rows.items():
                    rows[index].setdefault(metric.section, {}).update(values)
        everywhere = self._gather(rows, trainer)
        if everywhere is None:
            return
        records = [self.folder.record(index) for index in everywhere]
        summary = summarise(everywhere, records)
        write_results(self.folder.path / "results.csv", everywhere, records)
        write_metrics(self.folder.path / "metrics.json", summary)
        draw_grid(self.folder, records[: self.grid_images], self.grid_samples)
        for logger in trainer.loggers:
            logger.log_metrics(flatten(summary))
        self._summary = summary

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the summary, below everything else."""
        if self._summary is not None:
            print_summary(self._summary, self.folder.path)

    def _gather(self, rows: Rows, trainer: Trainer) -> Rows | None:
        """Bring the rows of all processes, in the order of the images, to the first process; None on the others."""
        parts: list[Any] | None = [rows]
        if trainer.world_size > 1:
            group = cast(torch.distributed.ProcessGroup, self._group)
            met = torch.distributed.barrier(group=group, async_op=True)
            while met is not None and not met.is_completed():
                time.sleep(0.1)  # not in the barrier itself, where signals would go unheard
            parts = [None] * trainer.world_size if trainer.is_global_zero else None
            torch.distributed.gather_object(rows, parts, group=group)
        if parts is None:
            return None
        return dict(sorted((index, row) for part in parts for index, row in part.items()))

    def _recall(self, indices: Tensor) -> Draws | None:
        """Read a finished batch back; forget a broken one, which is then computed whole, as it was the first time."""
        draws = [self.folder.read(index) for index in indices.tolist()]
        finished = [part for part in draws if part is not None]
        if len(finished) < len(draws):
            for index in indices.tolist():
                self.folder.forget(index)
            return None
        return Draws(
            torch.cat([part.samples for part in finished]),
            torch.cat([part.diverged for part in finished]),
            [cost for part in finished for cost in part.costs],
        )


def _describe(solver: Solver) -> dict[str, Any]:
    """What a solver is made of, where no configuration says it: its `repr`, and the content of its tensors."""
    digest = hashlib.sha256()
    for tensor in (*solver.parameters(), *solver.buffers()):
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return {"solver": repr(solver).splitlines(), "tensors": digest.hexdigest()}
