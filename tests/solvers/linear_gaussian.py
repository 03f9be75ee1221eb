"""A Gaussian prior, its consistency map and a linear measurement: all laws in noise space are Gaussian, in closed form.

The consistency map is affine, so a generator `Phi(z) = J z + b` is known from its values at 0 and at the unit vectors.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dis_lightning.levels import Levels
from dis_lightning.meters import CostMeter
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import MatrixOperator
from dis_lightning.priors import GaussianPrior
from dis_lightning.solvers.base import Solver

__all__ = [
    "MAP",
    "ONE_STEP",
    "OPERATOR",
    "PRIOR",
    "SIGMA_MIN",
    "TWO_STEPS",
    "Y",
    "affine",
    "assert_law",
    "cost",
    "double",
    "solve",
]

SIGMA_MIN = 0.002
ONE_STEP, TWO_STEPS = Levels([80.0, SIGMA_MIN]), Levels([80.0, 1.5, SIGMA_MIN])
PRIOR = GaussianPrior(torch.tensor([0.3, -0.2]), torch.tensor([[0.5, 0.2], [0.2, 0.3]], dtype=torch.float64))
MAP = PRIOR.consistency_map(SIGMA_MIN)
OPERATOR = MatrixOperator(torch.tensor([[1.0, 0.5], [-0.3, 0.8], [0.6, 0.6]]), noise_std=0.6)
Y = torch.tensor([[0.9, 0.4, 0.2]])


def solve(solver: Solver, y: Tensor = Y, indices: tuple[int, ...] = (0,)) -> Tensor:
    """Posterior samples of images with these indices, `(B, S, *shape)`; one measurement serves all."""
    return solver.solve(y.expand(len(indices), *y.shape[1:]), NoiseSource(solver.seed, indices))


def cost(solver: Solver, y: Tensor = Y) -> tuple[int, int]:
    """Network evaluations and gradients for one image."""
    with CostMeter([solver.denoiser], torch.device("cpu")) as meter:
        solve(solver, y)
    return meter.evaluations, meter.gradients


def double(x: Tensor) -> Tensor:
    return x.detach().double()


def affine(generator: Callable[[Tensor], Tensor], size: int = 2) -> tuple[Tensor, Tensor]:
    """The matrix J and the offset b of an affine generator `z -> J z + b`."""
    b = double(generator(torch.zeros(1, size)))[0]
    return (double(generator(torch.eye(size))) - b).T, b


def assert_law(x: Tensor, mean: Tensor, covariance: Tensor) -> None:
    """Compare mean and covariance of rows with the truth, within 5 standard errors."""
    x, count = double(x), len(x)
    variances = covariance.diagonal()
    assert ((x.mean(dim=0) - mean).abs() < 5 * (variances / count).sqrt()).all()
    error = ((torch.outer(variances, variances) + covariance.square()) / count).sqrt()
    assert ((x.T.cov() - covariance).abs() < 5 * error).all()
