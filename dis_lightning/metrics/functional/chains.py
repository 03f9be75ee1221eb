"""Diagnostics of Markov chains: how much the samples of an image are worth, and whether its chains agree.

With the chains cut in halves, C of n samples, W the mean variance within one, B / n the variance of their means and
rho_t the autocorrelation at lag t over all of them,

    effective sample size    C n / (1 + 2 sum_t rho_t)
    split R-hat              sqrt(((n - 1) / n W + B / n) / W)

Both are computed by arviz-stats. Of a thousand samples or more an R-hat above 1.01 says that the chains have not mixed;
of few, the largest of several directions is above it by chance, and the smallest effective size far below the number of
samples: `of_independent` says what to compare with. Gelman et al., "Bayesian Data Analysis", 2013, section 11.4;
Vehtari et al., "Rank-Normalization, Folding, and Localization", Bayesian Analysis, 2021.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from arviz_stats.base.array import array_stats
from torch import Tensor

from dis_lightning.errors import InvalidValueError

__all__ = ["Diagnosis", "diagnose", "of_independent"]

DIRECTIONS = 32
"""Along so many an image is looked at."""


class Diagnosis(NamedTuple):
    """What the samples of B images say about their chains."""

    effective_sample_size: Tensor
    """Number of independent samples that are worth as much, `(B,)`: the smallest over directions."""
    split_r_hat: Tensor
    """Ratio of the spread over all half chains to the spread within one, `(B,)`: the largest over directions."""


def diagnose(samples: Tensor, chains: int = 1, directions: int = DIRECTIONS) -> Diagnosis:
    """Diagnose the chains of each image.

    Images are seen through fixed random directions: a few numbers that feel every pixel, where single pixels may be
    saturated and never move, and where the worst of very many would look bad by chance.

    Args:
        samples: posterior samples `(B, S, *shape)` as a solver gives them: chain by chain.
        chains: number of chains, C, of S / C samples each.
        directions: number of directions.

    Returns:
        Diagnostics, NaN for an image whose samples are not finite or all equal; R-hat also where half a chain has fewer
        than 4 samples, and the effective sample size fewer than 5, which are too few for an autocorrelation: the
        estimate would be the same whatever the samples.

    Raises:
        ValueError: if `chains` does not divide S, or a chain has fewer than 4 samples.
    """
    if chains < 1 or samples.shape[1] % chains or samples.shape[1] < 4 * chains:
        raise InvalidValueError(
            f"Diagnostics need at least 4 samples per chain and chains of equal length, but got {samples.shape[1]} "
            f"samples in chains={chains}; raise num_samples or lower chains."
        )
    images = samples.detach().cpu().double().flatten(2)
    basis = torch.randn(images.shape[2], directions, generator=torch.Generator().manual_seed(0)).double()
    found = _diagnose(torch.unflatten(images @ basis, 1, (chains, -1)))
    moves = images.isfinite().all(dim=2).all(dim=1) & (images != images[:, :1]).flatten(1).any(dim=1)
    return Diagnosis(*(value.where(moves, torch.nan) for value in found))


@cache
def of_independent(samples: int, chains: int, images: int = 100) -> Diagnosis:
    """What `diagnose` gives on average where samples are independent and normal, `()` each.

    Args:
        samples: number of samples S of an image, 4 per chain or more.
        chains: number of chains C.
        images: over how many images the mean is.
    """
    random = torch.Generator().manual_seed(0)
    draws = torch.randn(images, chains, samples // chains, DIRECTIONS, generator=random, dtype=torch.float64)
    return Diagnosis(*(value.mean() for value in _diagnose(draws)))


def _diagnose(draws: Tensor) -> Diagnosis:
    """Diagnose chains that are known along D directions, `(B, C, S / C, D)`."""
    # The library's own split refuses a single chain; an odd sample in the middle belongs to neither half.
    half = draws.shape[2] // 2
    halves = torch.cat([draws[:, :, :half], draws[:, :, -half:]], dim=1)
    library: Any = array_stats  # without type annotations
    size = torch.from_numpy(library.ess(draws.numpy(), chain_axis=1, draw_axis=2, method="mean"))
    if half < 5:
        size = torch.full_like(size, torch.nan)
    with np.errstate(divide="ignore", invalid="ignore"):  # half chains that stand still
        r_hat = torch.from_numpy(library.rhat(halves.numpy(), chain_axis=1, draw_axis=2, method="identity"))
    return Diagnosis(size.amin(dim=1), r_hat.amax(dim=1))
