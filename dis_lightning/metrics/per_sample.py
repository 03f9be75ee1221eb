"""From a value of every posterior sample to the values of an image: the mean over samples, and the best of them."""

import torch
from torch import Tensor

from dis_lightning.images import dequantise
from dis_lightning.types import Reconstruction

__all__ = ["over_samples", "sample_rows", "which_samples", "without_diverged"]

WHICH = {
    "_of_mean": "of the mean of the samples, which is not rounded",
    "_pseudo_inverse": "of the pseudo-inverse of the measurement, without samples",
}
"""What a value is of, by the end of its name."""


def sample_rows(reconstruction: Reconstruction) -> Tensor:
    """All samples of a batch, image by image, in [-1, 1] on the batch's device, `(B * S, 3, H, W)`."""
    return dequantise(reconstruction.draws.samples.flatten(0, 1).to(reconstruction.device))


def without_diverged(values: Tensor, reconstruction: Reconstruction) -> Tensor:
    """Values of all samples `(B * S,)` as `(B, S)`, NaN for samples that diverged."""
    diverged = reconstruction.draws.diverged.to(values.device)
    return values.double().reshape(diverged.shape).masked_fill(diverged, torch.nan)


def over_samples(name: str, values: Tensor, reconstruction: Reconstruction, *, better: int = 0) -> dict[str, Tensor]:
    """Reduce values of samples to values of images; samples that diverged are left out.

    Args:
        name: what the mean over the samples is called.
        values: one value per sample, `(B * S,)`.
        reconstruction: the batch.
        better: 1 where larger values are better, -1 where smaller ones are: the best of the S samples is then given
            too, as `NAME_best_of_S`, if there are several.

    Returns:
        Values `(B,)` by name; NaN where all samples diverged.
    """
    kept = without_diverged(values, reconstruction)
    found = {name: kept.nanmean(dim=1)}
    number = kept.shape[1]
    if better and number > 1:
        best = (better * kept).nan_to_num(-torch.inf, torch.inf, -torch.inf).amax(dim=1) * better
        found[f"{name}_best_of_{number}"] = best.masked_fill(kept.isnan().all(dim=1), torch.nan)
    return found


def which_samples(name: str) -> str:
    """What of an image a value is of, in words for its definition: its samples, the best of them, or what else.

    Args:
        name: the value's name, with the endings of `over_samples`, `_of_mean` and `_pseudo_inverse`.
    """
    stem, _, number = name.partition("_best_of_")
    if number:
        return f"best of {number} samples"
    return next((words for end, words in WHICH.items() if stem.endswith(end)), "mean over the samples")
