"""Whether the maps of classes that a judge sees in the samples agree with those that were measured: mean IoU."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError
from dis_lightning.metrics.base import Direction, ImageMetric, SetMetric, Value, entry
from dis_lightning.metrics.functional.overlap import mean_iou
from dis_lightning.metrics.judges import Judged
from dis_lightning.metrics.per_sample import over_samples
from dis_lightning.operators.base import LabelOperator
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Reconstruction

__all__ = ["MeanIoU", "SetMeanIoU"]


class MeanIoU(Judged, ImageMetric):
    """Mean IoU of a judge's label map of the samples with the measured one, per image over the classes in either.

    For every image the mean over its samples; diverged ones are left out.

    Args:
        judge: see `Judge`.
        noise_std: see `Judge`.
        name: what the value is called; several judges need several names.
    """

    section: ClassVar[str] = "consistency"
    values: ClassVar[dict[str, Value]] = {"y_miou": Value("y-mIoU", Direction.HIGHER)}

    def __init__(self, judge: LabelOperator | None = None, noise_std: float = 0.0, name: str = "y_miou") -> None:
        super().__init__(judge, noise_std, name)

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        return over_samples(self.name, mean_iou(self.judge.confusion(reconstruction)), reconstruction)

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        return {"what": "mean IoU per image over the classes in either map", **self.judge.define()}


class SetMeanIoU(Judged, SetMetric):
    """Mean IoU over the whole set: the positions of all maps counted together, then the mean over classes.

    Diverged samples are left out.

    Args:
        judge: see `Judge`.
        noise_std: see `Judge`.
        name: what the value is called; several judges need several names.
    """

    values: ClassVar[dict[str, Value]] = {"y_miou": Value("y-mIoU", Direction.HIGHER)}

    def __init__(self, judge: LabelOperator | None = None, noise_std: float = 0.0, name: str = "y_miou_of_set") -> None:
        super().__init__(judge, noise_std, name)

    def extract(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See `SetMetric.extract`."""
        confusions = self.judge.confusion(reconstruction)
        diverged = reconstruction.draws.diverged.to(confusions.device)
        kept = confusions.unflatten(0, diverged.shape) * ~diverged[:, :, None, None]
        return {"confusion": kept.sum(dim=1)}

    def reduce(self, rows: dict[int, dict[str, Tensor]]) -> dict[str, dict[str, Any]]:
        """See `SetMetric.reduce`."""
        confusions = torch.stack([row["confusion"] for row in rows.values()])
        images = int(confusions.flatten(1).any(dim=1).sum())
        if images == 0:
            raise InvalidValueError("all samples diverged")
        value = float(mean_iou(confusions.sum(dim=0)))
        return {self.section: {self.name: entry(value, images=images)}}

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        return {"what": "mean IoU of all maps counted together", **self.judge.define()}
