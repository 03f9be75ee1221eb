"""Whether the classes that a judge sees in the samples are those that were measured: their share."""

from typing import Any, ClassVar

from torch import Tensor

from dis_lightning.metrics.base import Direction, ImageMetric, Value
from dis_lightning.metrics.judges import Judged
from dis_lightning.metrics.per_sample import over_samples
from dis_lightning.operators.base import LabelOperator
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Reconstruction

__all__ = ["LabelAccuracy"]


class LabelAccuracy(Judged, ImageMetric):
    """Share of a judge's classes of the samples that are the measured ones: pictures, or positions of maps.

    For every image the mean over its samples; diverged ones are left out.

    Args:
        judge: see `Judge`.
        noise_std: see `Judge`.
        name: what the value is called; several judges need several names.
    """

    section: ClassVar[str] = "consistency"
    values: ClassVar[dict[str, Value]] = {"y_accuracy": Value("y-accuracy", Direction.HIGHER)}

    def __init__(self, judge: LabelOperator | None = None, noise_std: float = 0.0, name: str = "y_accuracy") -> None:
        super().__init__(judge, noise_std, name)

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        right = self.judge.labels(reconstruction) == self.judge.targets(reconstruction)
        return over_samples(self.name, right.reshape(len(right), -1).double().mean(dim=1), reconstruction)

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        return {"what": "share of classes that are the measured ones", **self.judge.define()}
