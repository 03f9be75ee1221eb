"""How close the samples are to the clean image: PSNR and SSIM."""

from abc import abstractmethod
from importlib.metadata import version
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio

from dis_lightning.images import quantise
from dis_lightning.metrics.base import Direction, ImageMetric, Value
from dis_lightning.metrics.functional.structural_similarity import WINDOW, structural_similarity
from dis_lightning.metrics.per_sample import over_samples, which_samples
from dis_lightning.operators.base import LinearOperator, tensor
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Reconstruction

__all__ = ["PSNR", "SSIM"]


class Fidelity(ImageMetric):
    """How close pictures are to the clean image, on 8-bit images scaled to [0, 1].

    For every image: `NAME` is the mean over its S posterior samples, `NAME_best_of_S` the best of them, `NAME_of_mean`
    is that of the mean of its samples (where there are several), and `NAME_pseudo_inverse` that of the measurement's
    pseudo-inverse (where the operator is linear): what costs no prior at all. Diverged samples are left out.
    """

    needs_truth = True
    by_number = ("_of_mean",)

    @abstractmethod
    def compare(self, images: Tensor, targets: Tensor) -> Tensor:
        """How close images `(N, C, H, W)` are to others, in [0, 1]: `(N,)`, higher is closer."""

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        draws, device = reconstruction.draws, reconstruction.device
        source = _unit(reconstruction.truth)
        samples = _unit(draws.samples.to(device))
        each = self.compare(samples.flatten(0, 1), source.repeat_interleave(samples.shape[1], dim=0))
        values = over_samples(self.key, each, reconstruction, better=1)
        if samples.shape[1] > 1:
            kept = samples.masked_fill(draws.diverged.to(device)[:, :, None, None, None], torch.nan)
            values[f"{self.key}_of_mean"] = self.compare(kept.nanmean(dim=1), source)
        if isinstance(solver.operator, LinearOperator):
            blind = solver.operator.pseudo_inverse(tensor(reconstruction.measurement))
            values[f"{self.key}_pseudo_inverse"] = self.compare(_unit(quantise(blind)), source)
        return values


class PSNR(Fidelity):
    """PSNR (dB) against the clean image, on 8-bit images scaled to [0, 1]; see `Fidelity` for its values."""

    values: ClassVar[dict[str, Value]] = {"psnr": Value("PSNR", Direction.HIGHER, "dB")}

    @property
    def key(self) -> str:
        """See `Metric.key`."""
        return "psnr"

    def compare(self, images: Tensor, targets: Tensor) -> Tensor:
        """See `Fidelity.compare`."""
        found: Tensor = peak_signal_noise_ratio(images, targets, data_range=1.0, reduction="none", dim=(1, 2, 3))
        return found

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        what = f"PSNR against the clean image, {which_samples(name)}; 8-bit images scaled to [0, 1]"
        return {"what": what, "library": "torchmetrics " + version("torchmetrics")}


class SSIM(Fidelity):
    """SSIM against the clean image, on 8-bit images scaled to [0, 1]; see `Fidelity` for its values.

    The Gaussian window has 11 pixels, and the mean is over the positions where it fits into the image, as in Wang et
    al. 2004 and in scikit-image with `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`. (torchmetrics
    alone reflects the image at its borders: .55 for .60 on one picture of 32 pixels.) NaN for images of fewer than 11
    pixels a side.
    """

    values: ClassVar[dict[str, Value]] = {"ssim": Value("SSIM", Direction.HIGHER)}

    @property
    def key(self) -> str:
        """See `Metric.key`."""
        return "ssim"

    def compare(self, images: Tensor, targets: Tensor) -> Tensor:
        """See `Fidelity.compare`."""
        if min(images.shape[2:]) < WINDOW:
            return torch.full((len(images),), torch.nan)
        return structural_similarity(images, targets)

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        what = f"SSIM against the clean image, {which_samples(name)}; 8-bit images in [0, 1], window of 11 pixels"
        borders = "left out: the mean is over the positions where the window fits"
        return {"what": what, "borders": borders}


def _unit(images: Tensor) -> Tensor:
    """8-bit images as float32 in [0, 1]."""
    return images.float() / 255
