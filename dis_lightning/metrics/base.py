"""The contracts of the metrics: values of every image, and values of the whole set of images.

Both keep what they find by image index. At the end the rows of all processes are brought together and reduced once, so
that no value depends on which process had an image. Both look at a batch as it is saved, so that a run that is scored
again from its folder scores the same.

A metric is one file: how it is computed, and once, in the class, how its values are called, in which unit they are,
which direction is better and where they stand. Everything that shows a value reads that from its definition in the run
folder.
"""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils._pytree import tree_map_only

from dis_lightning import __version__
from dis_lightning.data import ImageTransform
from dis_lightning.data.base import data_of
from dis_lightning.described import Described, import_path
from dis_lightning.errors import InvalidValueError
from dis_lightning.solvers.base import Solver
from dis_lightning.solvers.rehearsal import is_own
from dis_lightning.types import Reconstruction
from dis_lightning.values import SECTIONS, Direction, Value, shown

__all__ = [
    "SECTIONS",
    "Direction",
    "ImageMetric",
    "Metric",
    "SetMetric",
    "Value",
    "callbacks_of",
    "caution_of_chains",
    "entry",
    "require_different",
    "shown",
]

Kind = TypeVar("Kind", bound=Callback)


class Metric(Described, Callback, ABC):
    """What every metric does: read its networks before anything is sampled, then look at one batch after another.

    Attributes:
        section: where its values stand, one of `SECTIONS` or another.
        values: how they are shown, by the beginning of a name.
        needs_truth: whether they compare with the clean image; nothing is reported where there is none.
        needs_prior: whether it asks the run's prior, which has to be built then where a run is scored again.
        by_number: endings of the names of values that are others for other numbers of samples, in expectation too.
        rows: what this process has found, by image index and name.
        transform: how the images of the run's data were brought to their size, where that is known.
        truth: whether the run knows its clean images.
        implied: whether it goes with every run and nobody asked for it: then it need not say that it has no value.
    """

    section: ClassVar[str]
    values: ClassVar[dict[str, Value]] = {}
    needs_truth: bool = False
    needs_prior: bool = False
    by_number: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, Any]] = {}
        self.transform: ImageTransform | None = None
        self.truth = True
        self.implied = False
        self._number: int | None = None

    @property
    def key(self) -> str:
        """What its values are called after, or else its class: no two metrics of a run may share it."""
        return type(self).__name__

    def warn_without_truth(self) -> None:
        """Say that a metric which was asked for has nothing to compare with."""
        if self.needs_truth and not self.truth and not self.implied:
            warnings.warn(
                f"{type(self).__name__} compares with clean images, of which this run has none: it gives no value.",
                stacklevel=3,
            )

    @abstractmethod
    def look(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """What is to be kept of a batch of B images: tensors `(B, ...)` by name."""

    def require(self, solver: Solver, images: int) -> None:
        """Refuse a run of too few images; called before anything is sampled, where their number is known.

        Args:
            solver: the run's solver.
            images: how many images the run has.

        Raises:
            ValueError: if there are too few.
        """

    def prepare(self, solver: Solver, device: torch.device) -> None:
        """Read what the metric needs, and refuse a run that it cannot measure; called before anything is sampled.

        Args:
            solver: the run's solver.
            device: where the metric is computed.

        Raises:
            ConnectionError: if a file is not here and cannot be downloaded; it says which file to put where.
            ValueError: if the run cannot be measured so.
        """

    def define(self, name: str) -> dict[str, Any]:
        """The full definition of a value, for `metrics.json`: all that another number of that name may differ in.

        Args:
            name: one of the names that the metric gives.

        Returns:
            Plain values by key: `what` (a sentence), networks and the hash of their weights, sizes, reference sets,
            versions of libraries; `level`, what the value should be, where neither direction is better; `caution`, what
            its reader must know of this run.
        """
        return {}

    def definition(self, name: str) -> dict[str, Any]:
        """The definition of a value, with how it is shown and the class that computes it."""
        number = {"samples": self._number} if self._number and name.endswith(self.by_number) else {}
        found = {**self.define(name), **number, "by": f"{import_path(type(self))}, dis_lightning {__version__}"}
        value = shown(name, self.values)
        if value is None and len(self.values) == 1:  # a name that the user chose
            value = next(iter(self.values.values()))._replace(title=name.replace("_", " "))
        if value is None:
            return found
        unit = {"unit": value.unit} if value.unit else {}
        return {**found, "title": value.title, **unit, "better": value.better.value}

    def score(self, reconstruction: Reconstruction, solver: Solver) -> None:
        """Look at a batch as it is saved, and keep a row per image.

        Raises:
            ValueError: if a metric of one's own has not a row for each image.
        """
        self._number = solver.num_samples
        if self.needs_truth and reconstruction.source is None:
            return
        if is_own(self):  # which could write over what will be saved
            reconstruction = Reconstruction(*tree_map_only(Tensor, torch.clone, tuple(reconstruction)))
        images = len(reconstruction.indices)
        for name, values in self.look(reconstruction, solver).items():
            if not isinstance(values, Tensor) or values.shape[:1] != (images,):
                came = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
                raise InvalidValueError(
                    f"{type(self).__name__} must give a tensor with a row for each image, ({images}, ...), as "
                    f"{name!r}, but gave {came}."
                )
            rows = values.tolist() if values.ndim == 1 else values.cpu()
            for index, value in zip(reconstruction.indices.tolist(), rows, strict=True):
                self.rows.setdefault(index, {})[name] = value

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin anew; see `require` and `prepare`."""
        assert isinstance(pl_module, Solver)
        self.rows = {}
        require_different(callbacks_of(trainer, Metric))  # type: ignore[type-abstract] # asked for, not built
        if data := data_of(trainer):
            self.transform, self.truth = getattr(data, "transform", None), data.images.truth
            self.require(pl_module, len(data.images))
            self.warn_without_truth()
        self.prepare(pl_module, trainer.strategy.root_device)  # the solver itself is moved there only later

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: Solver,  # type: ignore[override] # these callbacks go with solvers only
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """See `score`."""
        self.score(outputs, pl_module)


def caution_of_chains(solver: Solver) -> dict[str, str]:
    """What the definition of a value says that is known for independent samples, where a run has chains."""
    if solver.rows_per_image >= solver.num_samples:
        return {}
    return {
        "caution": "Successive samples of a chain resemble each other: coverage, calibration error, energy score and "
        "Stein discrepancy are worse than those of as many independent samples, even where the chain is exact."
    }


def callbacks_of(trainer: Trainer, kind: type[Kind]) -> list[Kind]:
    """The trainer's callbacks of a kind, in their order."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined] # set by Lightning out of mypy's sight
    return [callback for callback in callbacks if isinstance(callback, kind)]


def require_different(metrics: Sequence[Metric]) -> None:
    """Refuse metrics of which one would write over the values of another.

    Raises:
        ValueError: if two share their key or, where they have looked at images, the name of a value.
    """
    keys = [metric.key for metric in metrics]
    if twice := [metric for metric in metrics if keys.count(metric.key) > 1]:
        kinds = " and ".join(type(metric).__name__ for metric in twice)
        raise InvalidValueError(
            f"The callbacks {kinds} would both write the values of {twice[0].key}: give one of them another name, or "
            "take it out."
        )
    givers: dict[str, Metric] = {}
    for metric in metrics:
        for name in next(iter(metric.rows.values()), ()) if isinstance(metric, ImageMetric) else ():
            if (other := givers.setdefault(name, metric)) is not metric:
                kinds = f"{type(other).__name__} and {type(metric).__name__}"
                raise InvalidValueError(
                    f"The callbacks {kinds} both give values named {name!r}, and one would write over the other: give "
                    "those of one another name, or take it out."
                )


class ImageMetric(Metric):
    """A metric with named values for every image."""

    section: ClassVar[str] = "metrics"

    @abstractmethod
    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """Measure a batch: values `(B,)` by name, NaN where an image has none."""

    def look(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See `measure`."""
        return self.measure(reconstruction, solver)


class SetMetric(Metric):
    """A metric of all images together, computed once, on the first process, from what every image contributes."""

    section: ClassVar[str] = "set"

    @abstractmethod
    def extract(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """What the images of a batch contribute: tensors `(B, ...)` by name, of at least two axes."""

    @abstractmethod
    def reduce(self, rows: dict[int, dict[str, Tensor]]) -> dict[str, dict[str, Any]]:
        """Compute the values.

        Args:
            rows: the contributions of all images, in the order of their indices.

        Returns:
            Content by section of `metrics.json`: in its own section, entries by name as `entry` makes them; other
            sections hold what is no single number.

        Raises:
            ValueError: if there are too few images.
        """

    def look(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See `extract`."""
        found = self.extract(reconstruction, solver)
        for name, values in found.items():
            if isinstance(values, Tensor) and values.ndim == 1:
                raise InvalidValueError(
                    f"{type(self).__name__}.extract must give a row of numbers for each image, such as "
                    f"({len(values)}, 1), as {name!r}, but gave {tuple(values.shape)}."
                )
        return found


def entry(
    mean: float | None, standard_error: float | None = None, images: int = 0, missing: str = ""
) -> dict[str, Any]:
    """A value of a whole set, as it stands in `metrics.json`.

    Args:
        mean: the value; None where it could not be computed.
        standard_error: where it is known; one that is not finite is not.
        images: how many images it is of.
        missing: why there is no value.
    """
    known = standard_error is not None and math.isfinite(standard_error)
    found = {"mean": mean, "standard_error": standard_error if known else None, "images": images, "infinite": 0}
    return {**found, "missing": missing} if missing else found
