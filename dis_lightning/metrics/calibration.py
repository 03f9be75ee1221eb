"""Whether the samples are as uncertain as they should be: coverage of the truth by their pixel-wise intervals."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError
from dis_lightning.metrics.base import Direction, SetMetric, Value, caution_of_chains, entry
from dis_lightning.metrics.functional.coverage import coverage, coverage_levels
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Reconstruction

__all__ = ["Calibration"]


class Calibration(SetMetric):
    """Coverage of the clean image by the intervals of the samples, pixel by pixel; see `metrics.functional.coverage`.

    `coverage` is that of the range of all S samples, which should be `(S - 1) / (S + 1)`; `calibration_error` is the
    mean of the absolute differences between coverage and level over all intervals, with its standard error by the
    jackknife over images; of few images it is above 0 by chance. The curve itself is the section
    `calibration`: `levels` and `coverage`, a number each per interval. Images of which a sample diverged are left out;
    nothing is reported where images have one sample. Successive samples of a chain resemble each other, so that nobody
    knows how often they should cover: their definition has no level, and says so.
    """

    values: ClassVar[dict[str, Value]] = {
        "coverage": Value("coverage", Direction.NEITHER),
        "calibration_error": Value("calibration error", Direction.LOWER),
        "calibration": Value("calibration", Direction.NEITHER),  # the curve
    }
    needs_truth = True

    @property
    def key(self) -> str:
        """See `Metric.key`."""
        return "coverage"

    def extract(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See `SetMetric.extract`."""
        samples, diverged, *_ = reconstruction.draws
        if samples.shape[1] < 2:
            return {}
        truths = reconstruction.truth.to(samples.device)
        rows = torch.stack([coverage(drawn, truth) for drawn, truth in zip(samples, truths, strict=True)])
        return {"coverage": rows.masked_fill(diverged.any(dim=1).to(rows.device)[:, None], torch.nan)}

    def reduce(self, rows: dict[int, dict[str, Tensor]]) -> dict[str, dict[str, Any]]:
        """See `SetMetric.reduce`."""
        shares = torch.stack([row["coverage"] for row in rows.values()])
        shares = shares[shares.isfinite().all(dim=1)]
        if (number := len(shares)) == 0:
            raise InvalidValueError("of every image a sample diverged")
        levels = coverage_levels(self._samples)
        curve = shares.mean(dim=0)
        error = float((curve - levels).abs().mean())
        widest = spread = None
        if number > 1:
            widest = float(shares[:, 0].std() / number**0.5)
            without = ((shares.sum(dim=0) - shares) / (number - 1) - levels).abs().mean(dim=1)  # each of the images
            spread = float((without.var(correction=0) * (number - 1)).sqrt())
        return {
            "set": {
                "coverage": entry(float(curve[0]), widest, number),
                "calibration_error": entry(error, spread, number),
            },
            "calibration": {"levels": levels.tolist(), "coverage": curve.tolist()},
        }

    def prepare(self, solver: Solver, device: torch.device) -> None:
        """See `Metric.prepare`."""
        self._samples, self._caution = solver.num_samples, caution_of_chains(solver)

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        what = {
            "coverage": "share of pixels of the clean image within the range of its samples; equal numbers by chance",
            "calibration_error": "mean absolute difference between coverage and level over the intervals",
            "calibration": "coverage of the clean image by central pixel-wise intervals, against their level",
        }
        known = name == "coverage" and not self._caution
        level = {"level": float(coverage_levels(self._samples)[0])} if known else {}
        return {"what": what[name], **level, "samples": self._samples, **self._caution}
