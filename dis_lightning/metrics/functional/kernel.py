"""The kernel distance between two sets of features, with its standard error.

    d^2 = mean k(x_i, x_j) + mean k(y_i, y_j) - 2 mean k(x_i, y_j),   k(x, y) = (x.y / D + 1)^3

each mean over the pairs of two features that belong to different images: the unbiased squared maximum mean discrepancy,
also where several features come from one image and resemble each other, be they samples, pieces, or a sample and its
source. Where every image has one feature and the sets share no image, these are all pairs but those of a feature with
itself, as others have them. Binkowski et al., "Demystifying MMD GANs", 2018 (KID); they average it over random subsets,
whose expectation is this. The standard error is that of the jackknife which leaves out one group at a time: all
features of one image, and of its reference where there is one. Efron and Stein, "The Jackknife Estimate of Variance",
1981. In float64, in blocks of the kernel matrix: what is kept grows with the number of images, not with its square.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError

__all__ = ["KernelDistance", "kernel_distance"]

BLOCK = 2048
"""Rows and columns of the kernel matrix that are in memory at once."""


class _Means(NamedTuple):
    """Means of a kernel matrix over the pairs of different groups, of G groups."""

    whole: Tensor
    """Over all of them, `()`."""
    without: Tensor
    """Over those without a group, `(G,)`."""


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
        ValueError: if a set has features of fewer than two images.
    """
    groups, ids = torch.cat([x_groups, y_groups]).unique(return_inverse=True)
    a, b = ids[: len(x)], ids[len(x) :]
    if not paired:  # numbers of their own
        b, groups = b + len(groups), torch.cat([groups, groups])
    if min(images := (len(a.unique()), len(b.unique()))) < 2:
        raise InvalidValueError(
            f"A kernel distance needs two images on both sides or more, got {images[0]} and {images[1]}: raise "
            "num_images."
        )
    x, y = x.double(), y.double()
    xx, yy, xy = (_means(*pair, len(groups)) for pair in ((x, x, a, a), (y, y, b, b), (x, y, a, b)))
    without = xx.without + yy.without - 2 * xy.without
    present = torch.stack([torch.bincount(ids, minlength=len(groups)) > 0 for ids in (a, b)])
    parts = [present.any(dim=0)] if paired else list(present)
    variance = sum(float(without[part].var(correction=0)) * (int(part.sum()) - 1) for part in parts)
    return KernelDistance(float(xx.whole + yy.whole - 2 * xy.whole), variance**0.5)


def _kernel(products: Tensor) -> Tensor:
    base = products.add_(1)  # in place: nobody else knows the products
    return base * base * base


def _means(x: Tensor, y: Tensor, x_groups: Tensor, y_groups: Tensor, number: int) -> _Means:
    """Means of the kernel over all pairs of different groups, and over those that touch none of a group."""
    alone = x is y and x_groups is y_groups
    total, touching = x.new_zeros(()), x.new_zeros(number)
    rows, columns = (list(zip(z.split(BLOCK), g.split(BLOCK), strict=True)) for z, g in ((x, x_groups), (y, y_groups)))
    for place, (a, of_a) in enumerate(rows):
        # Of a set with itself, the blocks below the diagonal are those above, turned over.
        for other, (b, of_b) in enumerate(columns[: place + 1] if alone else columns):
            times = 2 if alone and other < place else 1
            kernel = _kernel((a @ b.T).div_(x.shape[1]))
            if of_a.min() <= of_b.max() and of_b.min() <= of_a.max():
                kernel.masked_fill_(of_a[:, None] == of_b, 0.0)
            total += times * kernel.sum()
            touching.index_add_(0, of_a, times * kernel.sum(dim=1)).index_add_(0, of_b, times * kernel.sum(dim=0))
    n, m = (torch.bincount(ids, minlength=number).double() for ids in (x_groups, y_groups))
    same = n * m  # pairs within a group
    pairs = n.sum() * m.sum() - same.sum()
    left = (n.sum() - n) * (m.sum() - m) - (same.sum() - same)
    return _Means(total / pairs, (total - touching) / left)
