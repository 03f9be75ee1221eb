"""Diagnostics of Markov chains: how much the samples of an image are worth, and whether its chains agree.

With C chains of n samples, W the mean variance within a chain and rho_t the autocorrelation at lag t over all chains,

    effective sample size    C n / (1 + 2 sum_t rho_t)
    split R-hat              sqrt(((n' - 1) / n' W' + B' / n') / W')

where the dash means chains cut in halves, n' their length and B' / n' the variance of their means. Both are computed by
arviz-stats. An R-hat above 1.01 says that the chains have not mixed. Gelman et al., "Bayesian Data Analysis", 2013,
section 11.4; Vehtari et al., "Rank-Normalization, Folding, and Localization", Bayesian Analysis, 2021.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from arviz_stats.base.array import array_stats
from torch import Tensor

from dis_lightning.errors import InvalidValueError

__all__ = ["Diagnosis", "diagnose"]


class Diagnosis(NamedTuple):
    """What the samples of B images say about their chains."""

    effective_sample_size: Tensor
    """Number of independent samples that are worth as much, `(B,)`: the smallest over directions."""
    split_r_hat: Tensor
    """Ratio of the spread over all half chains to the spread within one, `(B,)`: the largest over directions."""


def diagnose(samples: Tensor, chains: int = 1, directions: int = 32) -> Diagnosis:
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
    draws = torch.unflatten(images @ basis, 1, (chains, -1))
    # The library's own split refuses a single chain; an odd sample in the middle belongs to neither half.
    half = draws.shape[2] // 2
    halves = torch.cat([draws[:, :, :half], draws[:, :, -half:]], dim=1)
    library: Any = array_stats  # without type annotations
    size = torch.from_numpy(library.ess(draws.numpy(), chain_axis=1, draw_axis=2, method="mean"))
    if half < 5:
        size = torch.full_like(size, torch.nan)
    with np.errstate(divide="ignore", invalid="ignore"):  # half chains that stand still
        r_hat = torch.from_numpy(library.rhat(halves.numpy(), chain_axis=1, draw_axis=2, method="identity"))
    moves = images.isfinite().all(dim=2).all(dim=1) & (images != images[:, :1]).flatten(1).any(dim=1)
    return Diagnosis(*(value.where(moves, torch.nan) for value in (size.amin(dim=1), r_hat.amax(dim=1))))
