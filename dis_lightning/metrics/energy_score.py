"""How good the samples of an image are as a forecast of it."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from dis_lightning.images import dequantise
from dis_lightning.metrics.base import Direction, ImageMetric, Value, caution_of_chains
from dis_lightning.metrics.diversity import finite_samples
from dis_lightning.metrics.functional.energy import energy_score
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Reconstruction

__all__ = ["EnergyScore"]


class EnergyScore(ImageMetric):
    """Energy score of the samples against the clean image, `energy_score`, with pixels in [-1, 1].

    A proper score: what draws from the posterior has the lowest on average; see `metrics.functional.energy`. Samples
    that diverged are left out; NaN for fewer than two; nothing is reported where images have one sample.
    """

    section: ClassVar[str] = "posterior"
    values: ClassVar[dict[str, Value]] = {"energy_score": Value("energy score", Direction.LOWER)}
    needs_truth = True

    def __init__(self) -> None:
        super().__init__()
        self._caution: dict[str, str] = {}

    @property
    def key(self) -> str:
        """See `Metric.key`."""
        return "energy_score"

    def prepare(self, solver: Solver, device: torch.device) -> None:
        """See `Metric.prepare`."""
        self._caution = caution_of_chains(solver)

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        if reconstruction.draws.samples.shape[1] < 2:
            return {}
        pairs = zip(finite_samples(reconstruction), dequantise(reconstruction.truth.cpu()), strict=True)
        values = [energy_score(dequantise(s), x) if len(s) > 1 else torch.tensor(torch.nan) for s, x in pairs]
        return {"energy_score": torch.stack(values).double()}

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        return {
            "what": "mean distance of the samples to the clean image, less half the mean distance between samples; "
            "Euclidean, over all values of an image in [-1, 1]",
            **self._caution,
        }
