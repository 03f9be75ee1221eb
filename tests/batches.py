"""Batches as metrics see them, made by hand."""

import torch
from torch import Tensor

from dis_lightning.images import dequantise
from dis_lightning.levels import KarrasLevels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import LabelOperator, Operator
from dis_lightning.priors import GaussianPrior
from dis_lightning.solvers import Unguided
from dis_lightning.types import Cost, Draws, Measurement, Reconstruction

CPU = torch.device("cpu")


class Thirds(LabelOperator):
    """Which of three channels is the brightest, at every pixel or over the picture, and nothing to learn."""

    def __init__(self, whole: bool = False) -> None:
        super().__init__(["red", "green", "blue"], torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255]]))
        self.whole = whole

    def forward(self, x_0: Tensor) -> Tensor:
        return x_0.mean(dim=(2, 3)) if self.whole else x_0


def solver(operator: Operator, num_samples: int, side: int = 8) -> Unguided:
    prior = GaussianPrior(torch.zeros(3, side, side), torch.eye(3 * side**2))
    return Unguided(operator, prior, KarrasLevels(2), num_samples=num_samples)


def batch(
    samples: Tensor,
    source: Tensor | None = None,
    measurement: Measurement | None = None,
    diverged: Tensor | None = None,
    first: int = 0,
) -> Reconstruction:
    """A batch with samples `(B, S, 3, H, W)` and sources `(B, 3, H, W)`, 8 bit, of images numbered from `first`."""
    images, number = samples.shape[:2]
    lost = torch.zeros(images, number, dtype=torch.bool) if diverged is None else diverged
    draws = Draws(samples, lost, [Cost(0.0, 0.0, 0.0, 0.0)] * images)
    truth = torch.full((images, *samples.shape[2:]), 128, dtype=torch.uint8) if source is None else source
    seen = dequantise(truth) if measurement is None else measurement
    indices = torch.arange(first, first + images)
    return Reconstruction(indices, ["room"] * images, truth, seen, draws)


def noise_images(*shape: int, seed: int = 0) -> Tensor:
    """8-bit images of independent pixels, `(*shape)`."""
    noise = NoiseSource(seed, [0]).normal((1, *shape))[0]
    return (128 + 40 * noise).round().clamp(0, 255).to(torch.uint8)
