"""MMPS: moment matching posterior sampling.

Rozet, Andry, Lanusse, Louppe, "Learning Diffusion Priors from Observations by Expectation Maximization", NeurIPS 2024,
https://arxiv.org/abs/2405.13712, section 4.
"""

from typing import Any

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

__all__ = ["MMPS"]


class MMPS(AnnealedSolver):
    """Bayes' rule where the clean image given the noisy one is Gaussian, with the covariance that the denoiser tells.

        x_0  = D(x_t, sigma),    p(x_0 | x_t) = N(x_0, C),    C = sigma^2 J,    J = dD / dx_t
        x_0' = x_0 + C A^T (A C A^T + noise_std^2 I)^-1 (y - A x_0)

    The covariance is Tweedie's, the prior's own: nothing is tuned, and for every Gaussian prior `x_0'` is
    `E[x_0 | x_t, y]` exactly. The system is solved by conjugate gradients, a product with J each, which is a gradient
    of the network (J is symmetric for an exact denoiser). One step is enough for images; problems with a few directions
    of very different weight need as many as they have. Without noise (`noise_std` 0) y must be what some image gives:
    the system has no solution for anything else, and steps of it grow.

    One network evaluation and `iterations` gradients per step and sample: the evaluation is shared.

    Args:
        operator: what is measured: linear.
        denoiser: the prior.
        levels: the noise levels.
        iterations: steps of conjugate gradients, >= 1; the paper takes 1 to 5.
        transition: how to go to the next level; ancestral Euler if not given.
        num_samples: number of posterior samples per image.
        seed: the run's seed.

    Raises:
        TypeError: if the operator is not linear.
        ValueError: if `iterations` is below 1.
    """

    operator: LinearOperator

    def __init__(
        self, operator: Operator, denoiser: Denoiser, levels: Levels, *, iterations: int = 1, **common: Any
    ) -> None:
        super().__init__(operator, denoiser, levels, **common)
        require_linear(self, operator)
        require_whole(self, 1, iterations=iterations)
        self.iterations = iterations

    def guide(self, x_t: Tensor, sigma: float, y: Measurement, noise: NoiseSource) -> Guided:
        """See the class."""
        operator = self.operator
        x_0, pull = pullback(lambda x: self.denoiser(x, sigma), x_t)

        def apply(v: Tensor) -> tuple[Tensor, Tensor]:
            spread = sigma**2 * pull(operator.adjoint(v))  # C A^T v
            return operator.linear(spread, y) + operator.noise_std**2 * v, spread

        return Guided(x_0 + conjugate_gradients(apply, -operator.residual(x_0, y), self.iterations), None)
