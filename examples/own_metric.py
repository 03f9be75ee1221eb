"""A metric of your own, whole: copy the file to the folder that you work in, and name its class.

dis-lightning predict --config quickstart --trainer.callbacks own_metric.MeanAbsoluteError --writer.folder outputs/mae

A run that is there already is scored by it without being sampled again: `dis-lightning evaluate outputs/mae
--trainer.callbacks own_metric.MeanAbsoluteError`.
"""

from typing import Any, ClassVar

from torch import Tensor

from dis_lightning.images import dequantise
from dis_lightning.metrics import Direction, ImageMetric, Value
from dis_lightning.metrics.per_sample import over_samples, sample_rows, which_samples
from dis_lightning.solvers import Solver
from dis_lightning.types import Reconstruction


class MeanAbsoluteError(ImageMetric):
    """Mean absolute difference to the clean image, `mae`, in grey levels of 0 .. 255; and that of the best sample.

    An `ImageMetric` gives a value for every image, of which the run writes the mean and its standard error. One of all
    images together (`SetMetric`) says what to keep of each, and what to make of all.
    """

    values: ClassVar[dict[str, Value]] = {"mae": Value("MAE", Direction.LOWER, "grey levels")}
    needs_truth = True  # without clean images there is nothing to report

    @property
    def key(self) -> str:
        """What its values are called after."""
        return "mae"

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """Values `(B,)` by name, of B images with S samples each; samples that diverged do not count."""
        samples = sample_rows(reconstruction)  # in [-1, 1], (B * S, C, H, W)
        truth = dequantise(reconstruction.truth).repeat_interleave(reconstruction.draws.samples.shape[1], dim=0)
        error = 127.5 * (samples - truth).abs().flatten(1).mean(dim=1)
        return over_samples(self.key, error, reconstruction, better=-1)

    def define(self, name: str) -> dict[str, Any]:
        """What stands beside the value, for who compares it with another."""
        return {"what": f"mean absolute difference to the clean image, {which_samples(name)}"}
