"""Results do not depend on how the work was split: batches, samples, order. Images of a middle size, float32.

CPU kernels round by batch size, so equality is up to rounding; the same call twice is equal bit by bit.
"""

from functools import cache

import pytest
import torch
from torch import Tensor

from dis_lightning.levels import KarrasLevels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import AveragePool, GaussianBlur, LinearOperator, RandomInpainting
from dis_lightning.priors import GaussianPrior
from dis_lightning.solvers import DPS, Solver

IMAGES = [11, 3, 8, 0, 5, 2]
OPERATORS = [AveragePool(4, noise_std=0.1), RandomInpainting(0.2, noise_std=0.1), GaussianBlur(noise_std=0.1)]

for_every_operator = pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: type(operator).__name__)


@cache
def prior() -> GaussianPrior:
    """Images of 16 x 16 pixels with long correlations, as pictures have, between pixels and between channels."""
    side = torch.arange(16.0)
    rows, columns = (grid.flatten() for grid in torch.meshgrid(side, side, indexing="ij"))
    points = torch.stack([rows, columns], dim=1)
    between_pixels = torch.exp(-torch.cdist(points, points) / 8)
    between_channels = 0.7 + 0.3 * torch.eye(3)
    return GaussianPrior(torch.zeros(3, 16, 16), 0.25 * torch.kron(between_channels, between_pixels))


def dps(operator: LinearOperator, num_samples: int = 2) -> Solver:
    return DPS(operator, prior(), KarrasLevels(12), scale=0.2, num_samples=num_samples)


def solve(solver: Solver, indices: list[int]) -> Tensor:
    """Posterior samples of images that belong to their indices, measured and solved as one batch."""
    noise = NoiseSource(0, indices)
    y = solver.operator.measure(prior().sample(NoiseSource(1, indices)), noise)
    return solver.solve(y, noise)


@for_every_operator
def test_the_size_of_a_batch_changes_rounding_alone(operator: LinearOperator) -> None:
    solver = dps(operator)
    together = solve(solver, IMAGES)
    for size in (1, 2, 3):
        parts = [solve(solver, IMAGES[first : first + size]) for first in range(0, 6, size)]
        assert (torch.cat(parts) - together).abs().max() < 1e-5


@for_every_operator
def test_the_order_of_images_changes_rounding_alone(operator: LinearOperator) -> None:
    solver = dps(operator)
    assert (solve(solver, IMAGES[::-1]).flip(0) - solve(solver, IMAGES)).abs().max() < 1e-5


@for_every_operator
def test_the_same_work_gives_the_same_bits(operator: LinearOperator) -> None:
    assert torch.equal(solve(dps(operator), IMAGES), solve(dps(operator), IMAGES))


@for_every_operator
def test_more_samples_leave_the_first_ones_as_they_are(operator: LinearOperator) -> None:
    few, many = (solve(dps(operator, num_samples), IMAGES[:3]) for num_samples in (1, 4))
    assert (few - many[:, :1]).abs().max() < 1e-5
    # Samples differ from each other by far more than that.
    assert (many[:, 0] - many[:, 1]).abs().max() > 0.1
