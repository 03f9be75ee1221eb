"""What the conformance suite of the solvers tries them on: images, a measurement, networks."""

from typing import Any, Self

import pytest
import torch
from catalogue import DEVICE, SHAPE, SOLVERS, build_solver, concrete, smooth_covariance
from torch import Tensor, nn

from dis_lightning import solvers
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import AveragePool
from dis_lightning.priors import Denoiser, GaussianPrior
from dis_lightning.solvers import Solver
from dis_lightning.types import Batch

__all__ = [
    "DEVICE",
    "INDICES",
    "OPERATOR",
    "PRIOR",
    "GreyClasses",
    "TinyNetwork",
    "batch",
    "build",
    "for_every_solver",
    "images",
    "measured",
]

INDICES = [4, 0, 7]
"""The images of a batch, in no order."""

for_every_solver = pytest.mark.parametrize(
    "name", [solver.__name__ for solver in concrete(solvers, Solver) if solver.__name__ in SOLVERS]
)


PRIOR = GaussianPrior(torch.zeros(SHAPE), smooth_covariance())
OPERATOR = AveragePool(2, noise_std=0.1)


def images(indices: list[int]) -> Tensor:
    """Clean images by their indices."""
    return PRIOR.to(DEVICE).sample(NoiseSource(99, indices, DEVICE)).clamp(-1, 1)


def measured(indices: list[int], operator: nn.Module = OPERATOR) -> tuple[Tensor, NoiseSource]:
    """Measurements of images by their indices, and the noise for solving."""
    noise = NoiseSource(0, indices, DEVICE)
    return operator.to(DEVICE).measure(images(indices), noise), noise


def batch(indices: list[int], **more: Any) -> Batch:
    """A batch as a DataModule gives it."""
    index = torch.tensor(indices, device=DEVICE)
    return {"image": images(indices), "index": index, "name": [f"{i}.png" for i in indices], **more}


def build(name: str, **parts: Any) -> Solver:
    """A solver with two samples per image, unless told otherwise."""
    return build_solver(name, **{"operator": OPERATOR, "denoiser": PRIOR, "num_samples": 2} | parts).to(DEVICE)


class TinyNetwork(Denoiser):
    """A network with parameters, as real priors have."""

    def __init__(self) -> None:
        super().__init__()
        self.shape = SHAPE
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Dropout(0.5), nn.Tanh(), nn.Conv2d(8, 3, 1))

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        return self.layers(x_t / (sigma**2 + 1) ** 0.5)


class GreyClasses(Denoiser):
    """Images of class k are grey of brightness k, with independent pixels of standard deviation 0.1 around it."""

    def __init__(self, labels: Tensor | None = None) -> None:
        super().__init__()
        self.shape, self.num_classes, self.labels = SHAPE, 3, labels

    def given(self, labels: Tensor) -> Self:
        return type(self)(labels)

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        assert self.labels is not None
        assert len(self.labels) == len(x_t)
        grey = (self.labels - 1.0).reshape(-1, 1, 1, 1)
        return grey + 0.1**2 / (0.1**2 + sigma**2) * (x_t - grey)
