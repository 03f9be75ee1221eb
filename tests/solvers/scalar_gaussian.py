"""A Gaussian on the line, a linear measurement of it, and the annealed loop over both in plain NumPy.

    x_0 ~ N(m, s^2),    y = A x_0 in two numbers,    d(x_0, y) = |A x_0 - y|
    posterior mean   m + s^2 / (s^2 + sigma^2) (x_t - m)
    consistency map  m + sqrt((s^2 + sigma_min^2) / (s^2 + sigma^2)) (x_t - m)

The loop is written from the papers' algorithm boxes and reads the same noise streams as the solvers.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import torch
from torch import Tensor

from dis_lightning.levels import Levels
from dis_lightning.meters import CostMeter
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import MatrixOperator
from dis_lightning.priors import Denoiser, GaussianPrior
from dis_lightning.solvers import Solver

__all__ = [
    "CONSISTENCY",
    "LEVELS",
    "MEAN",
    "OPERATOR",
    "SAMPLES",
    "Array",
    "Draw",
    "Estimate",
    "Labelled",
    "assert_images_are_independent",
    "cost",
    "energy",
    "slope",
    "solve",
    "walk",
]

Array = np.ndarray
Draw = Callable[[], Array]

MEAN_OF_X, STD_OF_X, SIGMA_MIN, NOISE_STD = 0.3, 0.8, 0.002, 0.5
A = np.array([1.5, -0.5])
Y = np.array([1.0, 0.4])
LEVELS = Levels([10.0, 3.0, 1.0, 0.3, 0.0])
SAMPLES = 5
OPERATOR = MatrixOperator(torch.tensor(A[:, None]), noise_std=NOISE_STD)
PRIOR = GaussianPrior(torch.tensor([MEAN_OF_X], dtype=torch.float64), torch.tensor([[STD_OF_X**2]]).double())


@dataclass(frozen=True)
class Estimate:
    """An estimate of the clean image, as a network and as a formula."""

    network: Denoiser
    gain: Callable[[float], float]
    """Its derivative."""

    def __call__(self, x: Array, sigma: float) -> Array:
        return MEAN_OF_X + self.gain(sigma) * (x - MEAN_OF_X)


MEAN = Estimate(PRIOR, lambda sigma: STD_OF_X**2 / (STD_OF_X**2 + sigma**2))
CONSISTENCY = Estimate(
    PRIOR.consistency_map(SIGMA_MIN), lambda sigma: math.hypot(STD_OF_X, SIGMA_MIN) / math.hypot(STD_OF_X, sigma)
)


def slope(x_0: Array) -> Array:
    """Derivative of `|A x_0 - y|`."""
    residual = np.outer(x_0, A) - Y
    return residual @ A / np.linalg.norm(residual, axis=1)


def energy(x_0: Array) -> tuple[Array, Array]:
    """`|A x_0 - y|^2 / (2 noise_std^2)` and its derivative."""
    residual = np.outer(x_0, A) - Y
    return (residual**2).sum(1) / (2 * NOISE_STD**2), residual @ A / NOISE_STD**2


def walk(
    guide: Callable[[Array, float, Draw], tuple[Array, Array | float]],
    visits_at: Callable[[float], int] = lambda _: 1,
) -> Array:
    """Walk down the levels with ancestral Euler steps, `SAMPLES` rows of image 0."""
    rows = NoiseSource(0, [0]).samples(SAMPLES)

    def draw() -> Array:
        return rows.normal((SAMPLES,)).double().numpy()

    x = LEVELS[0] * draw()
    for sigma, sigma_next in pairwise(LEVELS):
        for visit in range(visits_at(sigma)):
            if visit > 0:
                x = x + math.sqrt(sigma**2 - sigma_next**2) * draw()
            x_0, shift = guide(x, sigma, draw)
            x = x + (x - x_0) / sigma * (sigma_next**2 / sigma - sigma)
            if sigma_next > 0:
                x = x + sigma_next * math.sqrt(1 - sigma_next**2 / sigma**2) * draw()
            x = x - shift
    return x


def solve(solver: Solver) -> Array:
    """The solver's samples of image 0, `(SAMPLES,)`."""
    return solver.solve(torch.tensor(Y[None]).float(), NoiseSource(0, [0])).double().numpy().flatten()


def cost(solver: Solver, networks: list[Denoiser]) -> tuple[float, float]:
    """Network evaluations and gradients per sample."""
    with CostMeter(networks, torch.device("cpu")) as meter:
        solve(solver)
    return meter.evaluations / solver.num_samples, meter.gradients / solver.num_samples


def assert_images_are_independent(solver: Solver) -> None:
    """The samples of an image know neither its neighbours in the batch nor what went wrong with them."""
    y = torch.tensor([[1.0, 0.4], [-0.5, 0.3]])
    together, alone = solver.solve(y, NoiseSource(0, [3, 8])), solver.solve(y[1:], NoiseSource(0, [8]))
    torch.testing.assert_close(together[1:], alone, rtol=1e-5, atol=1e-6)
    broken = solver.solve(torch.stack([y[0] * torch.nan, y[1]]), NoiseSource(0, [3, 8]))
    assert broken[0].isnan().all()
    assert torch.equal(broken[1], together[1])


class Labelled(Denoiser):
    """A class-conditional network that answers with its label and refuses to work without."""

    shape = (1,)
    num_classes = 3
    labels: Tensor | None = None

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        assert self.labels is not None
        return 0 * x_t + self.labels[:, None]

    def given(self, labels: Tensor) -> Self:
        bound = copy.copy(self)
        bound.labels = labels
        return bound
