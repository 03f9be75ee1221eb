"""Guidance: the gradient that pulls a sample towards the measurement.

This is the only place where sampling switches gradients on. Distances are summed over images before they are
differentiated, so that each image receives the gradient of its own distance alone.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import Operator
from dis_lightning.posteriors import PosteriorModel
from dis_lightning.types import Measurement

__all__ = ["gradient", "guide_noisy_image"]


def gradient(function: Callable[[Tensor], tuple[Tensor, Tensor]], at: Tensor) -> tuple[Tensor, Tensor]:
    """Differentiate a per-image value.

    Args:
        function: gives a value per row, `(N,)`, and anything else worth keeping.
        at: where, `(N, ...)`.

    Returns:
        The gradient of each row's value with respect to that row of `at`, and what the function gave beside the value,
        detached.
    """
    with torch.enable_grad():
        at = at.detach().requires_grad_()
        value, kept = function(at)
        (slope,) = torch.autograd.grad(value.sum(), at)
    return slope, kept.detach()


def guide_noisy_image(
    x_t: Tensor,
    sigma: float,
    y: Measurement,
    posterior: PosteriorModel,
    operator: Operator,
    noise: NoiseSource,
) -> tuple[Tensor, Tensor]:
    """Differentiate the mean distance over posterior samples with respect to the noisy image, through the network.

        g = grad_{x_t} 1/M sum_m d(A(x_0^(m)), y),    x_0^(m) ~ posterior(x_t)

    Returns:
        The posterior mean and the gradient, each `(N, *shape)`.
    """

    def mean_distance(x_t: Tensor) -> tuple[Tensor, Tensor]:
        belief = posterior(x_t, sigma, noise)
        distances = torch.stack([operator.distance(sample, y) for sample in belief.samples])
        return distances.mean(dim=0), belief.mean

    slope, x_0 = gradient(mean_distance, x_t)
    return x_0, slope
