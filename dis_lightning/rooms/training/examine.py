"""How well a reader reads held-out rooms: the IoU of every class over all pixels, and the share of classes of rooms."""

from typing import NamedTuple

import torch
from torch import Tensor

from dis_lightning.images import dequantise
from dis_lightning.metrics.functional.overlap import confusion, iou
from dis_lightning.rooms.readers import Reader
from dis_lightning.rooms.training.album import album
from dis_lightning.rooms.world import LAYOUT_CLASSES, SEGMENTATION_CLASSES

__all__ = ["Marks", "examine", "marks"]


class Marks(NamedTuple):
    """What a reader got right."""

    segmentation: Tensor
    """IoU of each of `SEGMENTATION_CLASSES`, `(8,)`, in [0, 1]."""
    layout: Tensor
    """IoU of each of `LAYOUT_CLASSES`, `(5,)`, in [0, 1]."""
    accuracy: float
    """Share of the rooms whose class was read, in [0, 1]."""


def examine(reader: Reader, num_images: int = 5000, split: str = "test") -> None:
    """Print how well a reader reads held-out rooms of 32 pixels.

    Args:
        reader: who reads.
        num_images: how many rooms.
        split: which rooms.
    """
    result = marks(reader, num_images, split)
    for task, names, ious in (
        ("segmentation", SEGMENTATION_CLASSES, result.segmentation),
        ("layout", LAYOUT_CLASSES, result.layout),
    ):
        each = ", ".join(f"{name} {iou:.3f}" for name, iou in zip(names, ious.tolist(), strict=True))
        print(f"{task} mean IoU {ious.mean():.4f} ({each})")
    print(f"class accuracy {result.accuracy:.4f}")


@torch.no_grad()
def marks(reader: Reader, num_images: int, split: str = "test") -> Marks:
    """Let a reader read held-out rooms of 32 pixels; arguments as for `examine`."""
    rooms = album(split, num_images)
    right, seen, behind = 0, torch.zeros(8, 8), torch.zeros(5, 5)
    for start in range(0, num_images, 250):
        pages = (rooms.images, rooms.segmentation, rooms.layout, rooms.labels)
        images, segmentation, layout, labels = (torch.from_numpy(page[start : start + 250].copy()) for page in pages)
        reading = reader(dequantise(images))
        seen += _counts(reading.segmentation, segmentation)
        behind += _counts(reading.layout, layout)
        right += int((reading.label.argmax(dim=1) == labels).sum())
    return Marks(iou(seen), iou(behind), right / num_images)


def _counts(logits: Tensor, truth: Tensor) -> Tensor:
    return confusion(logits.argmax(dim=1), truth, logits.shape[1]).sum(dim=0)
