"""The contracts of the metrics: values of every image, and values of the whole set of images.

Both keep what they find by image index. The run folder's writer brings the rows of all processes together and reduces
them once, so that no value depends on which process had an image. Both look at a batch as it is saved, so that a run
that is scored again from its folder scores the same.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from dis_lightning import __version__
from dis_lightning.callbacks.found import callbacks_of
from dis_lightning.data.base import data_of
from dis_lightning.errors import InvalidValueError
from dis_lightning.images import dequantise, quantise
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Reconstruction

__all__ = ["ImageMetric", "Metric", "SetMetric", "require_different"]


class Metric(Callback, ABC):
    """What every metric does: read its networks before anything is sampled, then look at one batch after another.

    Attributes:
        rows: what this process has found, by image index and name.
    """

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, Any]] = {}

    @property
    def key(self) -> str:
        """What its values are called after, or else its class: no two metrics of a run may share it."""
        return type(self).__name__

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
            Plain values by key: `what` (a sentence), `unit` where there is one, networks and the hash of their
            weights, sizes, reference sets, versions of libraries.
        """
        return {}

    def definition(self, name: str) -> dict[str, Any]:
        """The definition of a value, with the class that computes it."""
        kind = type(self)
        return {**self.define(name), "by": f"{kind.__module__}.{kind.__qualname__}, dis_lightning {__version__}"}

    def score(self, reconstruction: Reconstruction, solver: Solver) -> None:
        """Look at a batch as it is saved, and keep a row per image."""
        saved = reconstruction._replace(source=dequantise(quantise(reconstruction.source)))
        for name, values in self.look(saved, solver).items():
            rows = values.tolist() if values.ndim == 1 else values.cpu()
            for index, value in zip(reconstruction.indices.tolist(), rows, strict=True):
                self.rows.setdefault(index, {})[name] = value

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin anew; see `require` and `prepare`."""
        assert isinstance(pl_module, Solver)
        self.rows = {}
        require_different(callbacks_of(trainer, Metric))  # type: ignore[type-abstract] # asked for, not built
        if data := data_of(trainer):
            self.require(pl_module, len(data.images))
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


def require_different(metrics: Sequence[Metric]) -> None:
    """Refuse metrics of which one would write over the values of another.

    Raises:
        ValueError: if two share their key.
    """
    keys = [metric.key for metric in metrics]
    if twice := [metric for metric in metrics if keys.count(metric.key) > 1]:
        kinds = " and ".join(type(metric).__name__ for metric in twice)
        raise InvalidValueError(
            f"The callbacks {kinds} would both write the values of {twice[0].key}: give one of them another name, or "
            "take it out."
        )


class ImageMetric(Metric):
    """A metric with named values for every image.

    Attributes:
        section: under which name the means over the images stand in `metrics.json`.
    """

    section: ClassVar[str] = "metrics"

    @abstractmethod
    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """Measure a batch: values `(B,)` by name, NaN where an image has none."""

    def look(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See `measure`."""
        return self.measure(reconstruction, solver)


class SetMetric(Metric):
    """A metric of all images together, computed once, on the first process, from what every image contributes."""

    @abstractmethod
    def extract(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """What the images of a batch contribute: tensors `(B, ...)` by name, of at least two axes."""

    @abstractmethod
    def reduce(self, rows: dict[int, dict[str, Tensor]]) -> dict[str, dict[str, Any]]:
        """Compute the values.

        Args:
            rows: the contributions of all images, in the order of their indices.

        Returns:
            Content by section of `metrics.json`: in section `set`, entries with `mean` (the value) and
            `standard_error` (or None) by name; other sections hold what is no single number.

        Raises:
            ValueError: if there are too few images.
        """

    def look(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See `extract`."""
        return self.extract(reconstruction, solver)
