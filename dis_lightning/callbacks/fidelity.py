"""How close the samples are to the clean image: PSNR and SSIM."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from dis_lightning.callbacks.metric import ImageMetric
from dis_lightning.images import quantise
from dis_lightning.operators.base import LinearOperator, tensor
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Reconstruction

__all__ = ["Fidelity"]


class Fidelity(ImageMetric):
    """PSNR (dB) and SSIM against the clean image, on 8-bit images scaled to [0, 1].

    SSIM has a Gaussian window of 11 pixels (Wang et al. 2004) and is averaged over the whole picture, with reflected
    borders.

    For every image: `psnr` and `ssim` are means over its posterior samples, `..._of_mean` are those of the mean of its
    samples (where there are several), and `..._pseudo_inverse` those of the measurement's pseudo-inverse (where the
    operator is linear): what costs no prior at all. Diverged samples are left out.
    """

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        draws = reconstruction.draws
        device = reconstruction.source.device
        source = _unit(quantise(reconstruction.source))
        kept = ~draws.diverged.to(device)
        samples = _unit(draws.samples.to(device)).where(kept[:, :, None, None, None], torch.nan)
        values: dict[str, Tensor] = {}
        for name, metric in {"psnr": _psnr, "ssim": _ssim}.items():
            values[name] = _mean_over_samples(metric, samples, source)
            if samples.shape[1] > 1:
                values[f"{name}_of_mean"] = metric(samples.nanmean(dim=1), source)
            if isinstance(solver.operator, LinearOperator):
                blind = solver.operator.pseudo_inverse(tensor(reconstruction.measurement))
                values[f"{name}_pseudo_inverse"] = metric(_unit(quantise(blind)), source)
        return values


def _mean_over_samples(metric: Callable[[Tensor, Tensor], Tensor], samples: Tensor, source: Tensor) -> Tensor:
    targets = source.repeat_interleave(samples.shape[1], dim=0)
    return torch.unflatten(metric(samples.flatten(0, 1), targets), 0, samples.shape[:2]).nanmean(dim=1)


def _psnr(images: Tensor, targets: Tensor) -> Tensor:
    values: Tensor = peak_signal_noise_ratio(images, targets, data_range=1.0, reduction="none", dim=(1, 2, 3))
    return values


def _ssim(images: Tensor, targets: Tensor) -> Tensor:
    values = structural_similarity_index_measure(images, targets, data_range=1.0, reduction="none")
    assert isinstance(values, Tensor)  # a tuple comes only with further outputs asked for
    return values.reshape(len(images))


def _unit(images: Tensor) -> Tensor:
    """8-bit images as float32 in [0, 1]."""
    return images.float() / 255
