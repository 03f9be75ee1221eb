"""How well the classes that a judge sees in the samples agree with those that were measured."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from dis_lightning.callbacks.judges import asked, ready
from dis_lightning.callbacks.metric import ImageMetric, Metric, SetMetric
from dis_lightning.callbacks.per_sample import over_samples, repeated, sample_rows
from dis_lightning.errors import InvalidValueError
from dis_lightning.metrics.overlap import confusion, mean_iou
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import LabelOperator
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Reconstruction

__all__ = ["Judge", "LabelAccuracy", "MeanIoU", "SetMeanIoU"]


class Judge:
    """Who says which classes the samples show.

    Args:
        operator: a network's view of an image; by default the run's own operator. Another network than the one that
            guided is a fairer judge.
        noise_std: standard deviation of the noise that is added to the samples before they are judged, >= 0, in units
            of the data; Xu et al., 2024, use 0.2. It is keyed by the judge's name, image and sample.
        name: what tells the judge from the others of a run.

    Raises:
        ValueError: if `noise_std` is negative.
    """

    def __init__(self, operator: LabelOperator | None = None, noise_std: float = 0.0, name: str = "") -> None:
        if noise_std < 0:
            raise InvalidValueError(f"A judge needs noise_std >= 0, but got {noise_std}.")
        self.noise_std = noise_std
        self.name = name
        self._given = operator

    def prepare(self, solver: Solver, device: torch.device) -> None:
        """Get ready.

        Raises:
            ValueError: if the run's own operator is to judge and measures no classes, or if the run measures other
                classes than the judge, or at other positions.
        """
        judge = solver.operator if self._given is None else self._given
        if not isinstance(judge, LabelOperator):
            raise InvalidValueError(
                f"Only an operator that measures classes can judge them, but {type(judge).__name__} does not; give the "
                "metric another as judge, or take it out of the callbacks."
            )
        ready(judge, solver, device)
        self.operator = judge

    @torch.no_grad()
    def labels(self, reconstruction: Reconstruction) -> Tensor:
        """Classes of all samples, `(B * S, *positions)`."""
        rows = sample_rows(reconstruction)
        number = reconstruction.draws.samples.shape[1]
        noise = NoiseSource(0, reconstruction.indices, rows.device, use="judge " + self.name).samples(number)
        logits: Tensor = self.operator(rows + self.noise_std * noise.like(rows) if self.noise_std else rows)
        return logits.argmax(dim=1)

    def targets(self, reconstruction: Reconstruction) -> Tensor:
        """The measured classes of all samples, likewise."""
        targets = repeated(reconstruction.measurement, reconstruction.draws.samples.shape[1])
        assert isinstance(targets, Tensor)
        return targets

    def confusion(self, reconstruction: Reconstruction) -> Tensor:
        """Confusion of all samples' maps with the measured ones, `(B * S, K, K)`."""
        return confusion(self.labels(reconstruction), self.targets(reconstruction), classes=len(self.operator.classes))

    def define(self) -> dict[str, Any]:
        """What the judgement depends on."""
        return {**asked(self.operator), "classes": len(self.operator.classes), "noise_std": self.noise_std}


class _Judged(Metric):
    """A metric with a judge."""

    def __init__(self, judge: LabelOperator | None, noise_std: float, name: str) -> None:
        super().__init__()
        self.judge = Judge(judge, noise_std, name)
        self.name = name

    @property
    def key(self) -> str:
        """See `Metric.key`."""
        return self.name

    def prepare(self, solver: Solver, device: torch.device) -> None:
        """See `Metric.prepare`."""
        self.judge.prepare(solver, device)


class MeanIoU(_Judged, ImageMetric):
    """Mean IoU of a judge's label map of the samples with the measured one, per image over the classes in either.

    For every image the mean over its samples; diverged ones are left out.

    Args:
        judge: see `Judge`.
        noise_std: see `Judge`.
        name: what the value is called; several judges need several names.
    """

    section: ClassVar[str] = "consistency"

    def __init__(self, judge: LabelOperator | None = None, noise_std: float = 0.0, name: str = "y_miou") -> None:
        super().__init__(judge, noise_std, name)

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        return over_samples(self.name, mean_iou(self.judge.confusion(reconstruction)), reconstruction)

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        return {"what": "mean IoU per image over the classes in either map", **self.judge.define()}


class LabelAccuracy(_Judged, ImageMetric):
    """Share of a judge's classes of the samples that are the measured ones: pictures, or positions of maps.

    For every image the mean over its samples; diverged ones are left out.

    Args:
        judge: see `Judge`.
        noise_std: see `Judge`.
        name: what the value is called; several judges need several names.
    """

    section: ClassVar[str] = "consistency"

    def __init__(self, judge: LabelOperator | None = None, noise_std: float = 0.0, name: str = "y_accuracy") -> None:
        super().__init__(judge, noise_std, name)

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        right = self.judge.labels(reconstruction) == self.judge.targets(reconstruction)
        return over_samples(self.name, right.reshape(len(right), -1).double().mean(dim=1), reconstruction)

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        return {"what": "share of classes that are the measured ones", **self.judge.define()}


class SetMeanIoU(_Judged, SetMetric):
    """Mean IoU over the whole set: the positions of all maps counted together, then the mean over classes.

    Diverged samples are left out.

    Args:
        judge: see `Judge`.
        noise_std: see `Judge`.
        name: what the value is called; several judges need several names.
    """

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
        value = float(mean_iou(torch.stack([row["confusion"] for row in rows.values()]).sum(dim=0)))
        return {"set": {self.name: {"mean": value, "standard_error": None, "images": len(rows), "infinite": 0}}}

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        return {"what": "mean IoU of all maps counted together", **self.judge.define()}
