"""How well the samples explain what was measured."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from dis_lightning.callbacks.metric import ImageMetric
from dis_lightning.callbacks.per_sample import over_samples, repeated, sample_rows
from dis_lightning.images import quantise
from dis_lightning.operators.base import GaussianOperator
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Reconstruction

__all__ = ["MeasurementDistance", "MeasurementMSE"]


class MeasurementDistance(ImageMetric):
    """The operator's own distance between samples and measurement, `distance`: what guidance follows.

    For every image the mean over its samples; diverged ones are left out.
    """

    section: ClassVar[str] = "consistency"

    def prepare(self, solver: Solver, device: torch.device) -> None:
        """See `Metric.prepare`."""
        solver.operator.load(device)

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        y = repeated(reconstruction.measurement, reconstruction.draws.samples.shape[1])
        distances = solver.operator.distance(sample_rows(reconstruction), y)
        return over_samples("distance", distances, reconstruction)

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        return {"what": "the operator's own distance between samples and measurement"}


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
