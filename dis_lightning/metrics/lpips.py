"""How different the samples look from the clean image: LPIPS."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from dis_lightning.images import dequantise
from dis_lightning.metrics.base import Direction, ImageMetric, Value
from dis_lightning.metrics.networks.lpips import PerceptualDistance
from dis_lightning.metrics.per_sample import over_samples, sample_rows, which_samples
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Reconstruction

__all__ = ["LPIPS"]


class LPIPS(ImageMetric):
    """LPIPS against the clean image, on 8-bit images scaled to [-1, 1]; see `dis_lightning.metrics.networks.lpips`.

    For every image: `lpips_alex` (or `lpips_vgg`) is the mean over its S samples, `..._best_of_S` the best of them and
    `..._of_mean` that of the mean of its samples. Diverged samples are left out.

    Args:
        network: the trunk.
        weights: file of the trunk's weights, or a card; by default torchvision's.
    """

    values: ClassVar[dict[str, Value]] = {"lpips": Value("LPIPS", Direction.LOWER)}
    needs_truth = True
    by_number = ("_of_mean",)

    def __init__(self, network: Literal["alex", "vgg"] = "alex", weights: str | None = None) -> None:
        super().__init__()
        self.distance = PerceptualDistance(network, weights)

    @property
    def key(self) -> str:
        """See `Metric.key`."""
        return f"lpips_{self.distance.network}"

    def prepare(self, solver: Solver, device: torch.device) -> None:
        """See `Metric.prepare`."""
        self.distance.check(solver.denoiser.shape)
        self.distance.load(device)

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        name, number = self.key, reconstruction.draws.samples.shape[1]
        source = dequantise(reconstruction.truth)
        rows = self.distance(sample_rows(reconstruction), source.repeat_interleave(number, dim=0))
        values = over_samples(name, rows, reconstruction, better=-1)
        if number > 1:
            diverged = reconstruction.draws.diverged[:, :, None, None, None]
            mean = dequantise(reconstruction.draws.samples).masked_fill(diverged, torch.nan).nanmean(dim=1)
            values[f"{name}_of_mean"] = self.distance(mean.to(source), source)
        return values

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        what = f"LPIPS against the clean image, {which_samples(name)}; 8-bit images scaled to [-1, 1]"
        return {"what": what, **self.distance.define()}
