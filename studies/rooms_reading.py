"""How well samples agree with what was read off the truth: by the network that guided, and by one that did not.

For every image, a number in [0, 1]:

    maps       mean over the classes that are in either map of intersection over union
    classes    1 where they are the same
    captions   the share of the six facts of a caption that are the same
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dis_lightning.errors import InvalidTypeError
from dis_lightning.images import dequantise
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import Operator
from dis_lightning.operators.base import tensor
from dis_lightning.rooms.captions import ANSWERS, all_captions
from dis_lightning.rooms.operators import RoomsCaption, RoomsClass, RoomsLayout, RoomsSegmentation
from dis_lightning.rooms.pair import rooms_captioner_b, rooms_reader_b
from dis_lightning.rooms.training.examine import intersections_over_unions
from dis_lightning.types import Measurement
from studies.rooms_rows import Configuration, reconstruct

__all__ = ["NOISE_STD", "Read", "agreement", "judge", "read", "read_images", "score"]

NOISE_STD = 0.2
"""Standard deviation of the noise on samples that the guide reads once more, as in Xu et al. 2024."""


class Read(NamedTuple):
    """What was read off N samples, one per image."""

    guide: Tensor
    """Agreement by the network that guided, `(N,)`."""
    noisy: Tensor
    """The same, on samples with noise."""
    judge: Tensor
    """Agreement by the network that judges."""
    features: Tensor
    """Features of the samples by the reader that judges, `(N, D)`."""


def read(configuration: Configuration) -> tuple[Read, Read]:
    """Run a row; a sample that diverged counts as the grey picture that is saved for it.

    Returns:
        What was read off the samples, and off the true images in the same way.
    """
    rows, truths = [], []
    for reconstruction, solver in reconstruct(configuration):
        y, indices = reconstruction.measurement, reconstruction.indices
        rows.append(read_images(dequantise(reconstruction.draws.samples[:, 0]), y, solver.operator, indices))
        truths.append(read_images(reconstruction.source, y, solver.operator, indices))
    return _joined(rows), _joined(truths)


@torch.no_grad()
def read_images(images: Tensor, y: Measurement, guide: Operator, indices: Tensor) -> Read:
    """Let all networks read images.

    Args:
        images: `(N, 3, H, W)`, in [-1, 1].
        y: what was measured, one entry per image.
        guide: what measured it.
        indices: numbers of the images, which key the noise.
    """
    noise = NoiseSource(0, indices)
    noisy = images + NOISE_STD * noise.like(images)
    return Read(
        agreement(guide.measure(images, noise), y),
        agreement(guide.measure(noisy, noise), y),
        agreement(judge(type(guide)).measure(images, noise), y),
        rooms_reader_b().features(images),
    )


@torch.no_grad()
def score(configuration: Configuration) -> float:
    """The score of a step size: less the mean distance of the samples to the measurement, by the network that judges.

    The network that guides would reward a step so large that the samples please it alone, and are no rooms any more.
    NaN where a sample diverged.
    """
    distances, diverged = [], False
    for reconstruction, solver in reconstruct(configuration):
        images = dequantise(reconstruction.draws.samples[:, 0])
        diverged |= bool(reconstruction.draws.diverged.any())
        distances.append(judge(type(solver.operator)).distance(images, reconstruction.measurement))
    return float("nan") if diverged else -float(torch.cat(distances).mean())


def agreement(seen: Measurement, y: Measurement) -> Tensor:
    """How alike two measurements are, `(N,)`, in [0, 1]; see the module."""
    if not isinstance(y, Tensor):
        return torch.tensor([np.equal(_facts(one), _facts(other)).mean() for one, other in zip(seen, y, strict=True)])
    if y.ndim == 1:
        return (tensor(seen) == y).double()
    return torch.stack([_mean_iou(one, other) for one, other in zip(tensor(seen), y, strict=True)])


@cache
def judge(kind: type[Operator]) -> Operator:
    """A measurement of rooms, by the network that guides nobody.

    Raises:
        TypeError: if there is no such network.
    """
    if issubclass(kind, RoomsCaption):
        return RoomsCaption(rooms_captioner_b())
    for reading in (RoomsSegmentation, RoomsLayout, RoomsClass):
        if issubclass(kind, reading):
            return reading(rooms_reader_b())
    raise InvalidTypeError(f"{kind.__name__} is no measurement of rooms that a second network can make.")


def _mean_iou(seen: Tensor, y: Tensor) -> Tensor:
    classes = 1 + int(torch.maximum(seen, y).max())
    pairs = y.long() * classes + seen.long()
    confusion = torch.bincount(pairs.flatten(), minlength=classes**2).reshape(classes, classes).double()
    return intersections_over_unions(confusion).nanmean()  # 0 / 0 where a class is in neither


def _facts(caption: str) -> tuple[int, ...]:
    return tuple(map(int, np.unravel_index(_places()[caption], ANSWERS)))


@cache
def _places() -> dict[str, int]:
    return {caption: place for place, caption in enumerate(all_captions())}


def _joined(rows: list[Read]) -> Read:
    return Read(*(torch.cat(column) for column in zip(*rows, strict=True)))
