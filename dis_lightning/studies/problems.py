"""Small inverse problems that differ in one thing at a time: the law of the images, or the measurement.

    mixture     five narrow Gaussians in four dimensions
    Gaussian    one Gaussian with the mixture's mean and covariance

    linear      y = A x_0 + s n                        two numbers
    clipped     y = clip(2 A x_0, -1, 1) + s n         as in high dynamic range
    magnitude   y = |A x_0| + s n                      as in phase retrieval

A measurement that is not linear has no closed form under a continuous law. There the images are 2048 atoms, drawn once
from that law: a prior of its own, for which everything is exact.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from dis_lightning.noise import NoiseSource
from dis_lightning.operators import GaussianOperator, MatrixOperator, Operator
from dis_lightning.priors import ExactPrior, FiniteAtomPrior, GaussianMixturePrior, GaussianPrior

__all__ = ["Pointwise", "Problem", "clipped", "small_problems"]

DIMENSION, MEASURED, COMPONENTS, ATOMS = 4, 2, 5, 2048
COMPONENT_STD, NOISE_STD = 0.3, 0.2


class Problem(NamedTuple):
    """A law of images and how they are measured."""

    name: str
    """For people."""
    prior: ExactPrior
    """The law of the images."""
    operator: Operator
    """How they are measured; `y` is a tensor."""


class Pointwise(GaussianOperator):
    """`y = phi(A vec(x_0)) + noise_std n` with a function of each number.

    Args:
        matrix: A, `(M, D)`.
        function: phi, differentiable almost everywhere.
        noise_std: standard deviation of the noise on `y`.
    """

    matrix: Tensor

    def __init__(self, matrix: Tensor, function: Callable[[Tensor], Tensor], noise_std: float = 0.0) -> None:
        super().__init__(noise_std)
        self.register_buffer("matrix", matrix, persistent=False)
        self.function = function

    def forward(self, x_0: Tensor) -> Tensor:
        """`phi(A vec(x_0))`, `(B, M)`."""
        return self.function(x_0.flatten(1) @ self.matrix.T.to(x_0))


def clipped(values: Tensor) -> Tensor:
    """Twice the contrast, cut at the ends of the range."""
    return (2 * values).clamp(-1, 1)


def small_problems(seed: int = 0) -> list[Problem]:
    """Both laws, each with the three measurements, in float64.

    Args:
        seed: chooses the mixture's means, the matrix and the atoms.
    """
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(COMPONENTS, DIMENSION, generator=generator, dtype=torch.float64)
    matrix = torch.randn(MEASURED, DIMENSION, generator=generator, dtype=torch.float64)
    within = COMPONENT_STD**2 * torch.eye(DIMENSION, dtype=torch.float64)
    weights = means.new_ones(COMPONENTS)
    laws: dict[str, ExactPrior] = {
        "Gaussian": GaussianPrior(means.mean(0), within + torch.cov(means.T, correction=0)),
        "mixture": GaussianMixturePrior(weights, means, within),
    }
    functions: dict[str, Callable[[Tensor], Tensor]] = {"clipped": clipped, "magnitude": torch.abs}
    problems = []
    for law, prior in laws.items():
        problems.append(Problem(f"{law}, linear", prior, MatrixOperator(matrix, NOISE_STD)))
        atoms = FiniteAtomPrior(prior.sample(NoiseSource(seed, range(ATOMS))))
        for name, function in functions.items():
            problems.append(Problem(f"{law}, {name}", atoms, Pointwise(matrix, function, NOISE_STD)))
    return problems
