"""The Fréchet distance between two sets of features, as if each were Gaussian.

    d^2 = |m_1 - m_2|^2 + tr(S_1) + tr(S_2) - 2 tr((S_1 S_2)^(1/2))

With `S = R R^T` the last trace is the sum of the singular values of `R_1^T R_2`, which needs no root of a matrix and is
exact to rounding where a covariance is singular. Dowson and Landau, "The Fréchet Distance between Multivariate Normal
Distributions", 1982; Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", 2017 (FID). In float64. It is
biased upwards, the more the fewer images there are.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError

__all__ = ["Gaussian", "fit_gaussian", "frechet_distance", "known_gaussian"]


class Gaussian(NamedTuple):
    """A mean and a root of a covariance."""

    mean: Tensor
    """`(D,)`, float64."""
    root: Tensor
    """`(D, K)` with covariance `root @ root.T`, float64."""


def fit_gaussian(features: Tensor) -> Gaussian:
    """The mean and the unbiased covariance of features `(N, D)`.

    Raises:
        ValueError: if there are fewer than two, or if they are not finite.
    """
    if len(features) < 2 or not features.isfinite().all():
        raise InvalidValueError(
            f"A covariance needs the finite features of two images or more, but got {len(features)} rows of which "
            f"{int(features.isfinite().all(dim=1).sum())} are finite: raise num_images."
        )
    features = features.double()
    mean = features.mean(dim=0)
    centred = (features - mean) / (len(features) - 1) ** 0.5
    if len(features) > features.shape[1]:
        centred = torch.linalg.qr(centred, mode="r").R  # the same covariance in fewer rows
    return Gaussian(mean, centred.T)


def known_gaussian(mean: Tensor, covariance: Tensor) -> Gaussian:
    """A Gaussian given by its mean `(D,)` and covariance `(D, D)`.

    Raises:
        ValueError: if they are not finite, or do not fit each other.
    """
    size = mean.numel()
    lost = sum(int((~part.isfinite()).sum()) for part in (mean, covariance))
    if mean.ndim != 1 or covariance.shape != (size, size) or lost:
        raise InvalidValueError(
            f"Statistics need finite numbers, a mean (D,) and a covariance (D, D), but got {tuple(mean.shape)} and "
            f"{tuple(covariance.shape)}, of which {lost} numbers are not finite."
        )
    values, vectors = torch.linalg.eigh(covariance.double())
    kept = values > values.max() * size * torch.finfo(torch.float64).eps  # the rest is rounding
    return Gaussian(mean.double(), vectors[:, kept] * values[kept].sqrt())


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """The squared Fréchet distance, >= 0; see the module.

    Raises:
        ValueError: if the Gaussians have different dimensions.
    """
    if len(first.mean) != len(second.mean):
        raise InvalidValueError(
            f"Features of {len(first.mean)} and of {len(second.mean)} numbers cannot be compared; use the network that "
            "the statistics were made with."
        )
    traces = first.root.square().sum() + second.root.square().sum()
    overlap = torch.linalg.svdvals(first.root.T @ second.root).sum()
    # Rounding may leave a tiny negative number between equal sets.
    return max(0.0, float((first.mean - second.mean).square().sum() + traces - 2 * overlap))
