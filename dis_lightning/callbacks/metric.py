"""The contract of the metrics that have a value for every image."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from dis_lightning.solvers.base import Solver
from dis_lightning.types import Reconstruction

__all__ = ["ImageMetric"]


class ImageMetric(Callback, ABC):
    """A metric with named values for every image, kept by image index.

    The run folder's writer collects the rows of all processes by index, so a value never depends on which process had
    the image.

    Attributes:
        section: under which name the summary stands in `metrics.json`.
        rows: the values of the images that this process has seen, by image index.
    """

    section: ClassVar[str] = "metrics"

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, float]] = {}

    @abstractmethod
    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """Measure a batch: values `(B,)` by name, NaN where an image has none."""

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        self.rows = {}

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: Solver,  # type: ignore[override] # these callbacks go with solvers only
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Measure the batch and keep its rows."""
        for name, values in self.measure(outputs, pl_module).items():
            for index, value in zip(outputs.indices.tolist(), values.tolist(), strict=True):
                self.rows.setdefault(index, {})[name] = value
