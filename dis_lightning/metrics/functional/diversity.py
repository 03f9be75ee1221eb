"""How different the samples of one image are from each other, by their features.

    diversity score      mean_(a < b) |c_a - c_b| / mean_a mean_(i in a) |f_i - c_a|
    mean cosine          mean_(i < j) f_i . f_j / (|f_i| |f_j|)

where k-means cuts the features `f_i` of the samples into clusters `a` with centres `c_a`. The score is the ratio of
distances between and within clusters that Purohit et al., "Posterior sampling via Langevin dynamics based on generative
priors", 2024, report with 6 clusters; they give no formula, and this is its plain reading. It knows no scale: nearly
equal samples can have a large score, and a random walk has a larger one than independent samples. Report a spread
beside it.
"""

from contextlib import suppress

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.vq import ClusterError, kmeans2  # type: ignore[import-untyped]
from torch import Tensor

__all__ = ["diversity_score", "mean_cosine"]

Points = NDArray[np.float64]

STARTS = 10
"""Runs of k-means of which the best counts."""


def diversity_score(features: Tensor, clusters: int = 6) -> float:
    """Diversity score of the samples of one image; see the module.

    Args:
        features: finite features `(S, D)`.
        clusters: number of clusters, >= 2.

    Returns:
        The score, > 0; NaN if fewer than `clusters` + 1 samples differ, for which it has no meaning.
    """
    points = features.double().numpy()
    found = _cluster(points, clusters) if len(np.unique(points, axis=0)) > clusters else None
    if found is None:
        return float("nan")
    centres, labels = found
    between = torch.pdist(torch.from_numpy(centres)).mean()
    distances = np.linalg.norm(points - centres[labels], axis=1)
    within = np.mean([distances[labels == cluster].mean() for cluster in range(clusters)])
    return float(between / within)


def mean_cosine(features: Tensor) -> float:
    """Mean cosine of all pairs of features `(S, D)`; NaN for fewer than two, or where one is 0 and has no angle."""
    units = features.double() / features.double().norm(dim=1, keepdim=True)
    number = len(units)
    return float((units.sum(dim=0).square().sum() - number) / (number * (number - 1))) if number > 1 else float("nan")


def _cluster(points: Points, clusters: int) -> tuple[Points, NDArray[np.int32]] | None:
    """The centres and labels of the best of several runs of k-means, or None where none keeps all clusters."""
    runs = []
    for seed in range(STARTS):
        with suppress(ClusterError):  # a cluster became empty
            centres, labels = kmeans2(points, clusters, iter=100, minit="++", missing="raise", rng=seed)
            runs.append((float(np.square(points - centres[labels]).sum()), centres, labels))
    return min(runs, key=lambda run: run[0])[1:] if runs else None
