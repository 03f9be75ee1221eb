"""DDRM: denoising diffusion restoration models.

Kawar, Elad, Ermon, Song, "Denoising Diffusion Restoration Models", NeurIPS 2022, https://arxiv.org/abs/2201.11793,
equations 7 and 8, which are written for the variance-exploding variable that is used here.
"""

import math
from typing import Any

import torch
from torch import Tensor

from dis_lightning.errors import require_share
from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import LinearOperator, Operator, require_linear, tensor
from dis_lightning.operators.spectrum import Decomposition
from dis_lightning.priors.base import Denoiser
from dis_lightning.solvers.annealed import AnnealedSolver
from dis_lightning.solvers.functional.spectral import landed, require_decomposition, seen
from dis_lightning.transitions import ProbabilityFlow
from dis_lightning.types import Guided, Measurement

__all__ = ["DDRM"]


class DDRM(AnnealedSolver):
    """Take the measurement of each singular direction for a noisy image at the level of its own noise.

    With `A = U S V^T`, in coordinates `V^T x`: `m = U^T y / s`, whose noise is `r = noise_std / s`, and `x_0 = D(x_t)`,

        s = 0              x_next = x_0 + sqrt(1 - eta^2) sigma_next (x_t - x_0) / sigma + eta sigma_next n
        sigma_next < r     x_next = x_0 + sqrt(1 - eta^2) sigma_next (m - x_0) / r       + eta sigma_next n
        sigma_next >= r    x_next = (1 - eta_b) x_0 + eta_b m                + sqrt(sigma_next^2 - eta_b^2 r^2) n

    At the level of its own noise a direction is exactly the noisy image that was measured (`eta_b = 1`): a denoiser
    that goes from there to 0 in one step gives the exact posterior mean of that direction, wherever the prior has its
    axes along V. Below that level the step is the authors' own, and the samples are narrower than the posterior.
    Without noise and with `eta_b = 1` the measurement is met, but for directions below the operator's `tolerance`. One
    network evaluation per step and sample, no gradient.

    Args:
        operator: what is measured: linear, with a singular value decomposition.
        denoiser: the prior.
        levels: the noise levels; the paper takes 20.
        eta: share of fresh noise where the measurement says nothing more, in [0, 1].
        eta_b: how much the measurement counts above its own noise, in [0, 1].
        num_samples: number of posterior samples per image.
        seed: the run's seed.

    Raises:
        TypeError: if the operator is not linear.
        ValueError: if `eta` or `eta_b` is out of range, or the operator's decomposition is not known.
    """

    operator: LinearOperator

    def __init__(
        self,
        operator: Operator,
        denoiser: Denoiser,
        levels: Levels,
        *,
        eta: float = 0.85,
        eta_b: float = 1.0,
        **common: Any,
    ) -> None:
        super().__init__(operator, denoiser, levels, transition=ProbabilityFlow(), **common)
        require_decomposition(self, require_linear(self, operator))
        require_share(self, eta=eta, eta_b=eta_b)
        self.eta, self.eta_b = eta, eta_b

    def start(self, y: Measurement, noise: NoiseSource) -> Tensor:
        """Directions that are known better than the first level begin at their measurement."""
        pure = super().start(y, noise)
        parts = self.operator.decomposition(pure, tensor(y))
        m, r, _ = self._measured(torch.zeros_like(pure), y, parts)
        c, top = parts.coefficients(pure), self.levels[0]
        known = m + (1 - (r / top).square()).clamp(min=0).sqrt() * c
        return parts.images(torch.where(r <= top, known, c))

    def guide(self, x_t: Tensor, sigma: float, y: Measurement, noise: NoiseSource) -> Guided:
        """See the class."""
        x_0, sigma_next = self.denoiser(x_t, sigma), self.levels.below(sigma)
        parts = self.operator.decomposition(x_t, tensor(y))
        m, r, off = self._measured(x_0, y, parts)
        clean, n = parts.coefficients(x_0), parts.coefficients(noise.like(x_t))
        old = (parts.coefficients(x_t) - clean) / sigma
        kept = math.sqrt(1 - self.eta**2) * sigma_next
        below = clean + kept * torch.where(r.isinf(), old, off) + self.eta * sigma_next * n
        std = (sigma_next**2 - (self.eta_b * r).square()).clamp(min=0).sqrt()
        above = (1 - self.eta_b) * clean + self.eta_b * m + std * n
        return landed(x_t, x_0, parts.images(torch.where(r <= sigma_next, above, below)), sigma, sigma_next)

    def _measured(self, x_0: Tensor, y: Measurement, parts: Decomposition) -> tuple[Tensor, Tensor, Tensor]:
        """m, r, and (m - x_0) / r; where nothing is measured, m = x_0 and r is infinite."""
        operator = self.operator
        known = seen(operator, parts.values)
        safe = parts.values.where(known, 1.0)
        residual = parts.measured(-operator.residual(x_0, y))
        m = parts.coefficients(x_0) + (residual / safe).where(known, 0.0)
        # The last one not by division by r, which may be without bound, as its numerator is.
        return m, (operator.noise_std / safe).where(known, torch.inf), residual / (operator.noise_std or 1.0)
