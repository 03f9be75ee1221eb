"""TMPD: Tweedie moment projected diffusions.

Boys, Girolami, Pidstrigach, Reich, Mosca, Akyildiz, "Tweedie Moment Projected Diffusions for Inverse Problems", TMLR
2024, https://arxiv.org/abs/2310.06721, with the diagonal approximation of section 4.
"""

from typing import Any

import torch
from torch import Tensor

from dis_lightning.errors import require_whole
from dis_lightning.gradients import pullback
from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import LinearOperator, Operator, require_linear
from dis_lightning.priors.base import Denoiser
from dis_lightning.solvers.annealed import AnnealedSolver
from dis_lightning.solvers.functional.conjugate_gradients import conjugate_gradients
from dis_lightning.types import Guided, Measurement

__all__ = ["TMPD"]


class TMPD(AnnealedSolver):
    """As MMPS, with a covariance of which the sums of the rows are put on the diagonal.

        x_0  = D(x_t, sigma),    C = sigma^2 diag(J 1),    J = dD / dx_t
        x_0' = x_0 + sigma^2 J^T A^T (A C A^T + noise_std^2 I)^-1 (y - A x_0)

    Exact for Gaussian priors of independent pixels; where neighbours are alike, a pixel's row sums up all that is known
    about its neighbourhood, so that constant images have the spread that they should have and details too much. Where
    many pixels go against each other a row may sum up to nothing or less, and samples then diverge.

    The system is solved by conjugate gradients, which ask the network nothing, and need as many steps as it has
    different eigenvalues to be exact: one where all variances are equal and A A^T is a multiple of I; fewer make
    samples too narrow. One network evaluation and two gradients per step and sample.

    Args:
        operator: what is measured: linear.
        denoiser: the prior.
        levels: the noise levels.
        iterations: steps of conjugate gradients, >= 1.
        transition: how to go to the next level; ancestral Euler if not given.
        num_samples: number of posterior samples per image.
        seed: the run's seed.

    Raises:
        TypeError: if the operator is not linear.
        ValueError: if `iterations` is below 1.
    """

    operator: LinearOperator

    def __init__(
        self, operator: Operator, denoiser: Denoiser, levels: Levels, *, iterations: int = 5, **common: Any
    ) -> None:
        super().__init__(operator, denoiser, levels, **common)
        require_linear(self, operator)
        require_whole(self, 1, iterations=iterations)
        self.iterations = iterations

    def guide(self, x_t: Tensor, sigma: float, y: Measurement, noise: NoiseSource) -> Guided:
        """See the class."""
        operator = self.operator
        x_0, pull = pullback(lambda x: self.denoiser(x, sigma), x_t)
        # A variance is not negative, though a network's row may sum up to less than nothing.
        variance = (sigma**2 * pull(torch.ones_like(x_0))).clamp(min=0)

        def apply(v: Tensor) -> tuple[Tensor, Tensor]:
            back = operator.adjoint(v)
            return operator.linear(variance * back, y) + operator.noise_std**2 * v, back

        back = conjugate_gradients(apply, -operator.residual(x_0, y), self.iterations)
        return Guided(x_0 + sigma**2 * pull(back), None)
