"""How close the samples are to the clean image: PSNR and SSIM."""

from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from dis_lightning.callbacks.metric import ImageMetric
from dis_lightning.callbacks.per_sample import over_samples, which_samples
from dis_lightning.images import quantise
from dis_lightning.operators.base import LinearOperator, tensor
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Reconstruction

__all__ = ["Fidelity"]

DEFINITIONS = {
    "psnr": {"what": "PSNR against the clean image, {}; 8-bit images scaled to [0, 1]", "unit": "dB"},
    "ssim": {
        "what": "SSIM against the clean image, {}; 8-bit images scaled to [0, 1], Gaussian window of 11 pixels",
        "borders": "the mean is over the positions where the window fits into the image",
    },
}

BORDER = 5
"""Pixels of a window of 11 beside its middle."""


class Fidelity(ImageMetric):
    """PSNR (dB) and SSIM against the clean image, on 8-bit images scaled to [0, 1].

    SSIM has a Gaussian window of 11 pixels and is averaged over the positions where the window fits into the image, as
    in Wang et al. 2004 and in scikit-image, with which the field's papers compute it. It is NaN for images of fewer
    than 11 pixels a side. (torchmetrics alone reflects the image at its borders: .55 for .60 on one picture of 32.)

    For every image: `psnr` and `ssim` are means over its S posterior samples, `..._best_of_S` the best of them,
    `..._of_mean` are those of the mean of its samples (where there are several), and `..._pseudo_inverse` those of the
    measurement's pseudo-inverse (where the operator is linear): what costs no prior at all. Diverged samples are left
    out.
    """

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        draws = reconstruction.draws
        device = reconstruction.source.device
        source = _unit(quantise(reconstruction.source))
        samples = _unit(draws.samples.to(device))
        kept = samples.masked_fill(draws.diverged.to(device)[:, :, None, None, None], torch.nan)
        values: dict[str, Tensor] = {}
        for name, metric in {"psnr": _psnr, "ssim": _ssim}.items():
            each = metric(samples.flatten(0, 1), source.repeat_interleave(samples.shape[1], dim=0))
            values |= over_samples(name, each, reconstruction, better=1)
            if samples.shape[1] > 1:
                values[f"{name}_of_mean"] = metric(kept.nanmean(dim=1), source)
            if isinstance(solver.operator, LinearOperator):
                blind = solver.operator.pseudo_inverse(tensor(reconstruction.measurement))
                values[f"{name}_pseudo_inverse"] = metric(_unit(quantise(blind)), source)
        return values

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        definition = DEFINITIONS[name[:4]]
        what = definition["what"].format(which_samples(name))
        return {**definition, "what": what, "library": "torchmetrics " + version("torchmetrics")}


def _psnr(images: Tensor, targets: Tensor) -> Tensor:
    values: Tensor = peak_signal_noise_ratio(images, targets, data_range=1.0, reduction="none", dim=(1, 2, 3))
    return values


def _ssim(images: Tensor, targets: Tensor) -> Tensor:
    if min(images.shape[2:]) <= 2 * BORDER:
        return torch.full((len(images),), torch.nan)
    found = structural_similarity_index_measure(
        images.double(), targets.double(), data_range=1.0, reduction="none", return_full_image=True
    )
    assert isinstance(found, tuple)  # asked for
    return found[1][..., BORDER:-BORDER, BORDER:-BORDER].mean(dim=(1, 2, 3))


def _unit(images: Tensor) -> Tensor:
    """8-bit images as float32 in [0, 1]."""
    return images.float() / 255
