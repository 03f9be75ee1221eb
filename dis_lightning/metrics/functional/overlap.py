"""Agreement of label maps.

confusion  C_kl = number of positions of class k in the target that are given class l
IoU_k      C_kk / (sum_l C_kl + sum_l C_lk - C_kk),   for the classes that are in either map
"""

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError

__all__ = ["confusion", "iou", "mean_iou"]


def confusion(labels: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Confusion of label maps, `(N, K, K)`: rows by the class of the target.

    Args:
        labels: classes `(N, ...)` in 0 .. K - 1.
        targets: classes of the same shape.
        classes: number of classes, K.

    Raises:
        ValueError: if the shapes differ or a class is out of range.
    """
    labels, targets = labels.long(), targets.long()
    if labels.shape != targets.shape or not all(0 <= int(m) < classes for t in (labels, targets) for m in t.aminmax()):
        raise InvalidValueError(
            f"Label maps need one shape and classes 0 .. {classes - 1}, but got shapes {tuple(labels.shape)} and "
            f"{tuple(targets.shape)}, classes up to {int(labels.max())} and {int(targets.max())}; use a judge with the "
            "classes and the size of the measurement."
        )
    number = len(labels)
    maps = torch.arange(number, device=labels.device)[:, None]
    cells = (maps * classes + targets.flatten(1)) * classes + labels.flatten(1)
    return torch.bincount(cells.flatten(), minlength=number * classes**2).reshape(number, classes, classes)


def iou(confusions: Tensor) -> Tensor:
    """IoU of each class, `(N, K)` or `(K,)`, in [0, 1]; NaN for a class that is in neither map.

    Args:
        confusions: `(N, K, K)`, or `(K, K)`.
    """
    hits = confusions.diagonal(dim1=-2, dim2=-1).double()
    union = confusions.sum(dim=-1) + confusions.sum(dim=-2) - hits
    return hits / union


def mean_iou(confusions: Tensor) -> Tensor:
    """Mean IoU over the classes that are in the labels or in the target.

    Args:
        confusions: `(N, K, K)`, or `(K, K)`.

    Returns:
        `(N,)`, or a scalar; in [0, 1].
    """
    return iou(confusions).nanmean(dim=-1)
