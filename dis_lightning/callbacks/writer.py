"""The writer: puts every finished image into the run folder, and sums the run up at its end.

The run folder is a ledger (see `RunFolder`). Running the same command again reads finished batches back and computes
only the rest; so a run that was killed and one that was not end in the same files. `metrics.json` goes as soon as any
process computes an image anew; where none does, it keeps what other metrics have added since.
"""

import re
import warnings
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, cast

import torch
import torch.distributed
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from dis_lightning.callbacks.loggers import log_picture
from dis_lightning.callbacks.termination import take_launched
from dis_lightning.data import FolderData, ImageNetData, MeasurementArrayData
from dis_lightning.data.base import ImageData, data_of
from dis_lightning.described import description
from dis_lightning.digests import weights_digest
from dis_lightning.errors import InvalidValueError, require_numbers, require_whole
from dis_lightning.files import expanded
from dis_lightning.metrics.base import Metric, callbacks_of, require_different
from dis_lightning.noise import NoiseSource
from dis_lightning.processes.companions import Companions, by_first
from dis_lightning.processes.meeting import meet, require_slurm_tasks
from dis_lightning.runs.configuration import LINKED, as_written, check_configuration, fingerprint
from dis_lightning.runs.contents import check_contents, contents
from dis_lightning.runs.folder import RunFolder, read_png
from dis_lightning.runs.grid import draw_grid
from dis_lightning.runs.kept import Kept, pictures_of, to_keep
from dis_lightning.runs.ledger import Ledger
from dis_lightning.runs.lock import FolderLock
from dis_lightning.runs.summary import Found, Summary, flatten, read_summary, sum_up
from dis_lightning.runs.table import print_summary
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Draws, State

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
            configuration here; otherwise the descriptions of the solver, its parts and the data, and a digest of the
            solver's tensors, stand for it, under the same keys.

    Raises:
        ValueError: if an argument is out of range or, at the start of a run, if the folder belongs to another one, if
            the trainer would leave images out, or if the operator's picture of a measurement is none.
        OSError: at the start of a run, if the folder cannot be written to, if another command is at work there, or if
            the processes of the run do not share it.
        ConnectionError: if another process of the run is lost.
    """

    def __init__(
        self,
        folder: str | Path = "outputs/run",
        grid_images: int = 8,
        grid_samples: int = 3,
        reported: dict[str, str | float] | None = None,
    ) -> None:
        require_whole(self, 1, grid_images=grid_images, grid_samples=grid_samples)
        numbers = {key: value for key, value in (reported or {}).items() if key != "source"}
        require_numbers("writer.reported", **numbers)
        if str(folder).strip() in ("", "null"):
            raise InvalidValueError(f"A run needs a folder, but got --writer.folder={str(folder)!r}; name one.")
        place = expanded(folder)
        if str(place).startswith("~") or re.search(r"\$\{?\w", str(place)):
            raise InvalidValueError(
                f"The folder {place} (--writer.folder) names a home or an environment variable that is not there; set "
                "the variable, or write the folder out."
            )
        self.folder = RunFolder(place)
        self.grid_images = grid_images
        self.grid_samples = grid_samples
        self.reported = reported
        self.configuration: dict[str, Any] | None = None
        self._indices: list[int] = []
        self._reused: set[int] = set()
        self._summary: Summary | None = None
        self._defined: set[str] = set()
        self._lock = FolderLock(self.folder.path)
        self._companions: Companions | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check that the folder is this run's, and let the solver recall what is finished in it."""
        assert isinstance(pl_module, Solver)
        limit = trainer.limit_predict_batches  # a number of batches, or a share of them
        if isinstance(limit, int) or limit < 1:
            raise InvalidValueError(
                f"A run folder holds all images of its data, but limit_predict_batches={limit} leaves some out; take "
                "fewer images instead (--data.num_images)."
            )
        require_slurm_tasks(trainer.world_size)
        _require_outside(self.folder.path, data_of(trainer))
        group = self._open(trainer)
        if self.configuration is None:
            pl_module.load(trainer.strategy.root_device)  # so that it is described the same whoever has read it before
        configuration = self.configuration or _describe(pl_module, trainer)
        check_configuration(self.folder, configuration, write=trainer.is_global_zero)
        by_first(lambda: check_contents(self.folder, contents(configuration)), group)
        self._marks = fingerprint(configuration), as_written(configuration)
        pl_module.recall = self._recall
        self._indices, self._reused = [], set()
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.log_hyperparams(configuration)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse an operator whose measurements cannot be kept, by that of a grey image; watch over the processes."""
        assert isinstance(pl_module, Solver)
        with torch.no_grad():
            grey = torch.zeros(1, *pl_module.denoiser.shape, device=pl_module.device)
            noise = NoiseSource(pl_module.seed, [0], pl_module.device, use="trial")
            pictures_of(pl_module.operator.measure(grey, noise), pl_module.operator)
        pl_module.observers.append(self._on_step)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let go of the solver, which may be used elsewhere."""
        self._let_go(pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Let go of the folder and the solver; a run that made nothing leaves no configuration either."""
        if self._lock.mine and not self.folder.begun:
            self.folder.configuration.unlink(missing_ok=True)
            self.folder.contents.unlink(missing_ok=True)
        if self._companions is not None:
            self._companions.leave(early=True)
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
        require_different(callbacks_of(trainer, Metric))  # type: ignore[type-abstract] # asked for, not built
        indices, kept = outputs.indices.tolist(), to_keep(outputs, pl_module.operator)
        for index, image in zip(indices, kept, strict=True):
            self._indices.append(index)
            self._check_same(index, image)
        if not self._reused.issuperset(indices):
            for index in indices:  # the whole batch is new, as it was the first time
                self.folder.forget(index)
        self.folder.write(indices, kept, outputs.draws, *self._marks)

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the metrics of all processes and write `results.csv`, `metrics.json` and `grid.png`."""
        metrics = callbacks_of(trainer, Metric)  # type: ignore[type-abstract] # asked for, not built
        share = self._gather(_Share(self._indices, [metric.rows for metric in metrics], len(self._reused)))
        if share is None:
            return
        summary = sum_up(self.folder, metrics, share.found, share.indices)
        if gone := sorted(self._defined - summary["definitions"].keys()):
            warnings.warn(
                f"Images of the run were computed, of which {', '.join(gone)} knew nothing: these values are gone; "
                "give dis-lightning evaluate again.",
                stacklevel=2,
            )
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

    def _open(self, trainer: Trainer) -> torch.distributed.ProcessGroup | None:
        """Take the folder, and see that all processes look at the same one; give their group, if there are several."""
        group = None
        if trainer.world_size > 1:
            meet()  # before what nobody could leave who waits for one that is gone
            # Python objects travel over gloo whatever the backend of the devices is.
            group = cast(torch.distributed.ProcessGroup, torch.distributed.new_group(backend="gloo"))
        by_first(self._take, group)
        if group is not None:
            first_here = trainer.local_rank == 0
            self._companions = Companions(
                self.folder.path, group, first_here=first_here, launched=take_launched(trainer)
            )
        return group

    def _take(self) -> None:
        self.folder.require_own()
        self._lock.acquire()
        self.folder.sweep()
        self._defined = set((read_summary(self.folder) or {}).get("definitions", {}))

    def _on_step(self, state: State) -> None:
        if self._companions is not None:
            self._companions.require()

    def _gather(self, share: _Share) -> _Share | None:
        """Bring what all processes know, in the order of the images, to the first process; None on the others."""
        parts: list[Any] | None = [share]
        if self._companions is not None:
            parts = self._companions.gather(share)
            self._companions = None
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
        """Read a finished batch back; one that is not whole is computed whole, as it was the first time."""
        draws = self.folder.recall(indices.tolist())
        if draws is None:
            self.folder.metrics.unlink(missing_ok=True)
        else:
            self._reused.update(indices.tolist())
        return draws

    def _check_same(self, index: int, image: Kept) -> None:
        """Refuse an image whose place in the folder another has, or another measurement; a damaged one is made anew."""
        whole = index in self._reused or self.folder.whole(index)
        if not whole:
            return
        if not self.folder.shows(index, image):
            raise InvalidValueError(
                f"{image.name} is image {index} of the data now, but the folder {self.folder.path} holds the "
                f"reconstruction of another one, {self.folder.require(index)['name']}; choose another folder "
                "(--writer.folder), or restore the data."
            )
        if not self.folder.measured_alike(index, image):
            raise InvalidValueError(
                f"Of {image.name} another measurement was made before than is made now, though the run in "
                f"{self.folder.path} is described the same: its operator, its noise or the code of one of them has "
                "changed. Choose another folder (--writer.folder)."
            )

    def _let_go(self, solver: LightningModule) -> None:
        assert isinstance(solver, Solver)
        solver.recall = None
        if self._on_step in solver.observers:
            solver.observers.remove(self._on_step)
        self._lock.release()


def _require_outside(run: Path, data: ImageData | None) -> None:
    """Refuse a run folder among the pictures of its data, of this run or of another, whose own are taken for images."""
    root = getattr(data, "root", None)
    if not isinstance(root, str | Path):
        return
    place, images = run.resolve(), expanded(root).resolve()
    if images in (place, *place.parents):
        raise InvalidValueError(
            f"The run folder {run} lies among the images of the data, {root}, and its pictures would be taken for "
            "some of them; choose a folder elsewhere (--writer.folder)."
        )
    if not isinstance(data, FolderData | ImageNetData | MeasurementArrayData):
        return  # nor has to read its images for their names
    parents = {PurePosixPath(name).parent for name in data.images.every_name}
    for folder in sorted({images / above for each in parents for above in (each, *each.parents)}):
        other = Ledger(folder)
        if other.configuration.is_file() and other.records.is_dir():
            raise InvalidValueError(
                f"{folder} is a run folder, whose samples and measurements would be taken for images; name the folder "
                f"of the pictures alone (--data.root), or one of the run's, such as {folder / 'sources'}."
            )


def _describe(solver: Solver, trainer: Trainer) -> dict[str, Any]:
    """What a run is made of, where no configuration says it, under the keys of one."""
    model = description(solver)
    parts = {key: model["init_args"].pop(key) for key in LINKED if key in model["init_args"]}
    data = data_of(trainer)
    known = {} if data is None else {"data": description(data)}
    return {**known, **parts, "model": model, "tensors": weights_digest(solver)}
