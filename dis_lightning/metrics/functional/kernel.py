"""The kernel distance between two sets of features, with its standard error.

    d^2 = mean_(i != j) k(x_i, x_j) + mean_(i != j) k(y_i, y_j) - 2 mean_(i, j) k(x_i, y_j),   k(x, y) = (x.y / D + 1)^3

the unbiased squared maximum mean discrepancy. Binkowski et al., "Demystifying MMD GANs", 2018 (KID); they average it
over random subsets, whose expectation is this. The standard error is that of the jackknife which leaves out one group
at a time: all features of one image, and of its reference where there is one. Efron and Stein, "The Jackknife Estimate
of Variance", 1981. In float64.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError

__all__ = ["KernelDistance", "kernel_distance"]

ROWS = 1024
"""Rows of the kernel matrix that are in memory at once."""


class KernelDistance(NamedTuple):
    """A squared kernel distance and its standard error."""

    value: float
    standard_error: float
    """Not finite where too little is left without one image."""


def kernel_distance(x: Tensor, y: Tensor, x_groups: Tensor, y_groups: Tensor, *, paired: bool) -> KernelDistance:
    """The squared kernel distance; see the module.

    Args:
        x: features, `(N, D)`.
        y: features, `(M, D)`.
        x_groups: which image each row of `x` belongs to, `(N,)`.
        y_groups: likewise, `(M,)`.
        paired: whether equal numbers in both mean the same image, so that they are left out together.

    Raises:
        ValueError: if a set has fewer than two rows.
    """
    groups, ids = torch.cat([x_groups, y_groups]).unique(return_inverse=True)
    a, b = ids[: len(x)], ids[len(x) :]
    if not paired:  # numbers of their own
        b, groups = b + len(groups), torch.cat([groups, groups])
    counts = torch.stack([torch.bincount(part, minlength=len(groups)) for part in (a, b)]).double()
    present = [counts.sum(dim=0) > 0] if paired else [counts[0] > 0, counts[1] > 0]
    if min(len(x), len(y)) < 2:
        raise InvalidValueError(
            f"A kernel distance needs two images on both sides or more, got {len(x)} and {len(y)}: raise num_images."
        )
    x, y = x.double(), y.double()
    xx, yy, xy = _sums(x, x, a, a, len(groups)), _sums(y, y, b, b, len(groups)), _sums(x, y, a, b, len(groups))
    within = torch.stack([_own(x, a, len(groups)), _own(y, b, len(groups))])
    left = counts.sum(dim=1, keepdim=True) - counts
    whole = _distance(xx.sum() - within[0].sum(), yy.sum() - within[1].sum(), xy.sum(), counts.sum(dim=1))
    without = _distance(
        _without(xx) - (within[0].sum() - within[0]), _without(yy) - (within[1].sum() - within[1]), _without(xy), left
    )
    variance = sum(float(without[part].var(correction=0)) * (int(part.sum()) - 1) for part in present)
    return KernelDistance(float(whole), variance**0.5)


def _distance(xx: Tensor, yy: Tensor, xy: Tensor, counts: Tensor) -> Tensor:
    n, m = counts[0], counts[1]
    return xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)


def _kernel(products: Tensor, dimension: int) -> Tensor:
    return (products / dimension + 1) ** 3


def _own(x: Tensor, groups: Tensor, number: int) -> Tensor:
    """Sums of `k(x_i, x_i)` by group."""
    return x.new_zeros(number).index_add_(0, groups, _kernel(x.square().sum(dim=1), x.shape[1]))


def _sums(x: Tensor, y: Tensor, x_groups: Tensor, y_groups: Tensor, number: int) -> Tensor:
    """Sums of the kernel by pairs of groups."""
    sums = x.new_zeros(number, number)
    for rows, groups in zip(x.split(ROWS), x_groups.split(ROWS), strict=True):
        kernel = _kernel(rows @ y.T, x.shape[1])
        sums.index_add_(0, groups, x.new_zeros(len(rows), number).index_add_(1, y_groups, kernel))
    return sums


def _without(sums: Tensor) -> Tensor:
    """Totals without each group."""
    return sums.sum() - sums.sum(dim=0) - sums.sum(dim=1) + sums.diagonal()
