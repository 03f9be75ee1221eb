"""The kernel distance between two sets of features, with its standard error.

    d^2 = mean_(i != j) k(x_i, x_j) + mean_(i != j) k(y_i, y_j) - 2 mean_(i, j) k(x_i, y_j),   k(x, y) = (x.y / D + 1)^3

the unbiased squared maximum mean discrepancy. Binkowski et al., "Demystifying MMD GANs", 2018 (KID); they average it
over random subsets, whose expectation is this. The standard error is that of the jackknife which leaves out one group
at a time: all features of one image, and of its reference where there is one. Efron and Stein, "The Jackknife Estimate
of Variance", 1981. In float64, in blocks of the kernel matrix: what is kept grows with the number of images, not with
its square.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError

__all__ = ["KernelDistance", "kernel_distance"]

BLOCK = 2048
"""Rows and columns of the kernel matrix that are in memory at once."""


class _Sums(NamedTuple):
    """Sums of a kernel matrix over G groups."""

    total: Tensor
    """Over all pairs, `()`."""
    touching: Tensor
    """Over the pairs of which one or both are in a group, `(G,)`."""

    @property
    def without(self) -> Tensor:
        """Over the pairs without a group, `(G,)`."""
        return self.total - self.touching


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
    whole = _distance(xx.total - within[0].sum(), yy.total - within[1].sum(), xy.total, counts.sum(dim=1))
    without = _distance(
        xx.without - (within[0].sum() - within[0]), yy.without - (within[1].sum() - within[1]), xy.without, left
    )
    variance = sum(float(without[part].var(correction=0)) * (int(part.sum()) - 1) for part in present)
    return KernelDistance(float(whole), variance**0.5)


def _distance(xx: Tensor, yy: Tensor, xy: Tensor, counts: Tensor) -> Tensor:
    n, m = counts[0], counts[1]
    return xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)


def _kernel(products: Tensor, dimension: int) -> Tensor:
    base = products.div_(dimension).add_(1)  # in place: nobody else knows the products
    return base * base * base


def _own(x: Tensor, groups: Tensor, number: int) -> Tensor:
    """Sums of `k(x_i, x_i)` by group."""
    return x.new_zeros(number).index_add_(0, groups, _kernel(x.square().sum(dim=1), x.shape[1]))


def _sums(x: Tensor, y: Tensor, x_groups: Tensor, y_groups: Tensor, number: int) -> _Sums:
    """Sums of the kernel over all pairs, and over the pairs that touch each group."""
    alone = x is y and x_groups is y_groups
    total, touching = x.new_zeros(()), x.new_zeros(number)
    rows, columns = (list(zip(z.split(BLOCK), g.split(BLOCK), strict=True)) for z, g in ((x, x_groups), (y, y_groups)))
    for place, (a, of_a) in enumerate(rows):
        # Of a set with itself, the blocks below the diagonal are those above, turned over.
        for other, (b, of_b) in enumerate(columns[: place + 1] if alone else columns):
            times = 2 if alone and other < place else 1
            kernel = _kernel(a @ b.T, x.shape[1])
            total += times * kernel.sum()
            touching.index_add_(0, of_a, times * kernel.sum(dim=1)).index_add_(0, of_b, times * kernel.sum(dim=0))
            if of_a.min() <= of_b.max() and of_b.min() <= of_a.max():
                # Pairs with both in a group are in the sums of their row and of their column, and count once.
                both = kernel.masked_fill_(of_a[:, None] != of_b, 0.0).sum(dim=1)
                touching.index_add_(0, of_a, -times * both)
    return _Sums(total, touching)
