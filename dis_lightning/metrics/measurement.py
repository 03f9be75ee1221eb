"""How well the samples explain what was measured."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError
from dis_lightning.images import quantise
from dis_lightning.metrics.base import Direction, ImageMetric, Value
from dis_lightning.metrics.judges import asked, ready
from dis_lightning.metrics.per_sample import over_samples, sample_rows
from dis_lightning.operators.base import GaussianOperator, Operator
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Reconstruction, repeat

__all__ = ["MeasurementDistance", "MeasurementMSE"]


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
    values: ClassVar[dict[str, Value]] = {"distance": Value("distance to y", Direction.LOWER)}

    def __init__(self, judge: Operator | None = None, name: str = "distance") -> None:
        super().__init__()
        self.judge = judge
        self.name = name
        self._asked = judge

    @property
    def key(self) -> str:
        """See `Metric.key`."""
        return self.name

    def prepare(self, solver: Solver, device: torch.device) -> None:
        """See `Metric.prepare`."""
        self._asked = self._operator(solver)
        ready(self._asked, solver, device)

    @torch.no_grad()
    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        y = repeat(reconstruction.measurement, reconstruction.draws.samples.shape[1])
        return over_samples(self.name, self._operator(solver).distance(sample_rows(reconstruction), y), reconstruction)

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        whose = "the operator's own" if self.judge is None else "a judge's"
        return {"what": f"{whose} distance between samples and measurement", **asked(self._asked)}

    def _operator(self, solver: Solver) -> Operator:
        return solver.operator if self.judge is None else self.judge


class MeasurementMSE(ImageMetric):
    """Mean squared difference between measured samples and the measurement, `y_mse`, in grey levels of 0..255.

    Both are rounded to 8 bit, as Xu et al., 2024, do; so values below 1/6 are rounding. For every image the mean over
    its samples; diverged ones are left out. For measurements that are pictures in [-1, 1]: what others have outside is
    clamped, so that of them `MeasurementDistance` says more. Where a mask hides other pixels of each image they count
    as equal: divide by the share that is seen to compare such masks.
    """

    section: ClassVar[str] = "consistency"
    values: ClassVar[dict[str, Value]] = {"y_mse": Value("y-MSE", Direction.LOWER, "grey²")}

    def __init__(self) -> None:
        super().__init__()
        self._asked: Operator | None = None

    @property
    def key(self) -> str:
        """See `Metric.key`."""
        return "y_mse"

    def prepare(self, solver: Solver, device: torch.device) -> None:
        """See `Metric.prepare`."""
        if not isinstance(solver.operator, GaussianOperator):
            raise InvalidValueError(
                f"MeasurementMSE compares pictures, but {type(solver.operator).__name__} does not measure any; take it "
                "out of the callbacks."
            )
        solver.operator.load(device)
        self._asked = solver.operator

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        y = repeat(reconstruction.measurement, reconstruction.draws.samples.shape[1])
        assert isinstance(solver.operator, GaussianOperator)  # see `prepare`
        measured, seen = solver.operator.compare(sample_rows(reconstruction), y)
        difference = quantise(measured).double() - quantise(seen).double()
        return over_samples("y_mse", difference.square().flatten(1).mean(dim=1), reconstruction)

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        what = "mean squared difference between measured samples and measurement, both 8 bit"
        return {"what": what, **asked(self._asked)}
