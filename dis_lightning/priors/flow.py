"""The consistency map of any denoiser, by integrating its probability flow.

    dx / dsigma = (x - D(x, sigma)) / sigma        from sigma down to sigma_min

by Heun's method (Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022, algorithm 1)
over the levels of their equation 5. Each row has its own levels, so `sigma` may differ from image to image.
"""

import math
from itertools import pairwise
from typing import ClassVar, Self

from torch import Tensor

from dis_lightning.errors import InvalidValueError, require_numbers
from dis_lightning.levels import karras
from dis_lightning.priors.base import Denoiser, Kind, per_image, require_kind

__all__ = ["FlowMap"]


class FlowMap(Denoiser):
    """The map from `x_t` at any level to `sigma_min`, along the probability flow through it.

    Differentiable; costs `2 steps` evaluations of the denoiser. The error falls with the square of the steps.

    Args:
        denoiser: posterior mean whose flow is followed.
        steps: number of Heun steps from any level, at least 1.
        sigma_min: where the trajectories end, > 0.
        rho: how densely the low levels are covered, > 0.

    Raises:
        ValueError: if an argument is out of range, or the denoiser is a consistency map itself.
    """

    kind: ClassVar[Kind] = "consistency map"

    def __init__(self, denoiser: Denoiser, steps: int = 64, sigma_min: float = 0.002, rho: float = 7.0) -> None:
        super().__init__()
        require_numbers(self, steps=steps, sigma_min=sigma_min, rho=rho)
        if steps < 1 or not 0 < sigma_min < math.inf or not 0 < rho < math.inf:
            raise InvalidValueError(
                "FlowMap needs steps >= 1, sigma_min > 0 and rho > 0, but got "
                f"steps={steps}, sigma_min={sigma_min}, rho={rho}."
            )
        require_kind(self, "denoiser", denoiser, "posterior mean")
        self.shape = denoiser.shape
        self.num_classes = denoiser.num_classes
        self.denoiser = denoiser
        self.steps = steps
        self.sigma_min = sigma_min
        self.rho = rho

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        """Follow the probability flow from `sigma` to `sigma_min`; see `Denoiser.forward`."""
        between = [karras(step / self.steps, self.sigma_min, sigma, self.rho) for step in range(1, self.steps)]
        x = x_t
        for level, level_next in pairwise([sigma, *between, self.sigma_min]):
            x = self._heun(x, level, level_next)
        return x

    def given(self, labels: Tensor) -> Self:
        """Bind class labels to the denoiser; see `Denoiser.given`."""
        return type(self)(self.denoiser.given(labels), self.steps, self.sigma_min, self.rho)

    def _heun(self, x: Tensor, sigma: float | Tensor, sigma_next: float | Tensor) -> Tensor:
        s, s_next = per_image(sigma, x), per_image(sigma_next, x)
        slope = (x - self.denoiser(x, sigma)) / s
        x_next = x + (s_next - s) * slope
        slope_next = (x_next - self.denoiser(x_next, sigma_next)) / s_next
        mean: Tensor = x + (s_next - s) * (slope + slope_next) / 2
        return mean
