"""How well the samples explain what was measured."""

from textwrap import shorten
from typing import Any, ClassVar

import torch
from torch import Tensor

from dis_lightning.callbacks.metric import ImageMetric
from dis_lightning.callbacks.per_sample import over_samples, repeated, sample_rows
from dis_lightning.images import quantise
from dis_lightning.metrics.features import weights_digest
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import GaussianOperator, LabelOperator, Operator, TextOperator, tensor
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Reconstruction

__all__ = ["MeasurementDistance", "MeasurementMSE", "require_same_kind"]


class MeasurementDistance(ImageMetric):
    """The operator's distance between samples and measurement.

    For every image the mean over its samples; diverged ones are left out.

    Args:
        judge: whose distance it is; by default that of the run's own operator, which guidance follows. An operator with
            another network is a fairer judge.
        name: what the value is called; several judges need several names.

    Raises:
        ValueError: at the start of a run, if the judge measures something else than the run's own operator.
    """

    section: ClassVar[str] = "consistency"

    def __init__(self, judge: Operator | None = None, name: str = "distance") -> None:
        super().__init__()
        self.judge = judge
        self.name = name

    def prepare(self, solver: Solver, device: torch.device) -> None:
        """See `Metric.prepare`."""
        judge = self._operator(solver)
        judge.load(device)
        judge.to(device).requires_grad_(False).eval()
        if judge is not solver.operator:
            require_same_kind(judge, solver, device)

    @torch.no_grad()
    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        y = repeated(reconstruction.measurement, reconstruction.draws.samples.shape[1])
        return over_samples(self.name, self._operator(solver).distance(sample_rows(reconstruction), y), reconstruction)

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        if self.judge is None:
            return {"what": "the operator's own distance between samples and measurement"}
        judge = {
            "judge": repr(self.judge).partition("\n")[0].rstrip("("),
            "weights_tensors_sha256": weights_digest(self.judge),
        }
        return {"what": "distance between samples and measurement by a judge", **judge}

    def _operator(self, solver: Solver) -> Operator:
        return solver.operator if self.judge is None else self.judge


class MeasurementMSE(ImageMetric):
    """Mean squared difference between measured samples and the measurement, `y_mse`, in grey levels of 0..255.

    Both are rounded to 8 bit, as Xu et al., 2024, do; so values below 1/6 are rounding. For every image the mean over
    its samples; diverged ones are left out. For measurements that are pictures in [-1, 1].
    """

    section: ClassVar[str] = "consistency"

    def prepare(self, solver: Solver, device: torch.device) -> None:
        """See `Metric.prepare`."""
        if not isinstance(solver.operator, GaussianOperator):
            raise ValueError(
                f"MeasurementMSE compares pictures, but {type(solver.operator).__name__} does not measure any; take it "
                "out of the callbacks."
            )
        solver.operator.load(device)

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        y = repeated(reconstruction.measurement, reconstruction.draws.samples.shape[1])
        assert isinstance(solver.operator, GaussianOperator)  # see `prepare`
        measured, seen = solver.operator.compare(sample_rows(reconstruction), y)
        difference = quantise(measured).double() - quantise(seen).double()
        return over_samples("y_mse", difference.square().flatten(1).mean(dim=1), reconstruction)

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        return {"what": "mean squared difference between measured samples and measurement, both 8 bit", "unit": "grey²"}


@torch.no_grad()
def require_same_kind(judge: Operator, solver: Solver, device: torch.device) -> None:
    """Refuse a judge that does not measure what the run's operator does: the same classes, numbers or words, as many.

    Args:
        judge: another operator than the run's, loaded.
        solver: the run's solver; a blank image of its prior's shape is measured.
        device: where the judge is.

    Raises:
        ValueError: if the judge measures something else.
    """
    own = solver.operator
    own.load(device)
    blank = torch.zeros(1, *solver.denoiser.shape, device=device)
    (classes, shape), (own_classes, own_shape) = _kind(judge, blank), _kind(own.to(device), blank)
    if (classes, shape) != (own_classes, own_shape):
        raise ValueError(
            f"{type(judge).__name__} cannot judge this run: it measures {_told(classes, shape)}, and the run's "
            f"{type(own).__name__} {_told(own_classes, own_shape)}. Give the metric a judge that measures the same, or "
            "take it out of the callbacks."
        )


def _kind(operator: Operator, blank: Tensor) -> tuple[tuple[str, ...], tuple[int, ...] | None]:
    """Names of the classes that are measured, if any, and the shape of a measurement; None for words."""
    if isinstance(operator, TextOperator):
        return (), None
    y = tensor(operator.measure(blank, NoiseSource(0, [0], blank.device)))
    return operator.classes if isinstance(operator, LabelOperator) else (), tuple(y.shape[1:])


def _told(classes: tuple[str, ...], shape: tuple[int, ...] | None) -> str:
    """A kind of measurement, for people."""
    if shape is None:
        return "words"
    size = " x ".join(map(str, shape))
    if not classes:
        return f"{size} numbers"
    named = f"{len(classes)} classes ({shorten(', '.join(classes), 50, placeholder=' ...')})"
    return f"{named} at {size} positions" if shape else f"{named} of whole pictures"
