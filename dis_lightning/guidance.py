"""Guidance: the gradient that pulls a sample towards the measurement.

    through the network    g = grad_{x_t} L(x_0^(1), ..., x_0^(M)),    x_0^(m) ~ posterior(x_t)
    at the clean image     g = grad_{x_0} d(A(x_0), y)

Here, and in `kernels` for the noise, sampling switches gradients on; nowhere else. Values are summed over images before
they are differentiated, so that each image receives the gradient of its own value alone.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from dis_lightning.described import Described
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import Operator
from dis_lightning.posteriors import PosteriorModel
from dis_lightning.types import Measurement

__all__ = [
    "LogMeanExp",
    "MeanDistance",
    "Reduction",
    "SumDistance",
    "gradient",
    "guide_clean_image",
    "guide_noisy_image",
]


class Reduction(Described, ABC):
    """How M draws of the clean image make one value L per row, which guidance descends."""

    @abstractmethod
    def __call__(self, samples: Tensor, y: Measurement, operator: Operator) -> Tensor:
        """Compare draws with the measurement.

        Args:
            samples: draws of the clean images, `(M, N, *shape)`.
            y: what was measured, one entry per row.
            operator: what compares.

        Returns:
            One value per row, `(N,)`.
        """


class MeanDistance(Reduction):
    """`L = 1/M sum_m d(A(x_0^(m)), y)`: its size does not depend on M."""

    def __call__(self, samples: Tensor, y: Measurement, operator: Operator) -> Tensor:
        """See the class."""
        return _each(operator.distance, samples, y).mean(dim=0)


class SumDistance(Reduction):
    """`L = sum_m d(A(x_0^(m)), y)`: what the code of Purohit et al. 2024 follows; M times the mean."""

    def __call__(self, samples: Tensor, y: Measurement, operator: Operator) -> Tensor:
        """See the class."""
        return _each(operator.distance, samples, y).sum(dim=0)


class LogMeanExp(Reduction):
    """`L = -log 1/M sum_m p(y | x_0^(m))`, with `p(y | x_0) = exp(-energy)`.

    The definition of Song et al., LGD, 2023, and of the text of Purohit et al. 2024. With exact draws of the posterior
    it tends to `-log p(y | x_t)` as M grows. The energy, unlike the distance, knows the noise of the measurement, so
    that this value needs another scale than the other two.
    """

    def __call__(self, samples: Tensor, y: Measurement, operator: Operator) -> Tensor:
        """See the class.

        Raises:
            ValueError: if the operator has no noise, and so no density.
        """
        return math.log(len(samples)) - _each(operator.energy, samples, y).neg().logsumexp(dim=0)


_MEAN_DISTANCE = MeanDistance()


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
    reduction: Reduction = _MEAN_DISTANCE,
) -> tuple[Tensor, Tensor]:
    """Differentiate with respect to the noisy image, through the network.

        g = grad_{x_t} L(x_0^(1), ..., x_0^(M)),    x_0^(m) ~ posterior(x_t)

    Returns:
        The posterior mean and the gradient, each `(N, *shape)`.
    """

    def value(x_t: Tensor) -> tuple[Tensor, Tensor]:
        belief = posterior(x_t, sigma, noise)
        return reduction(belief.samples, y, operator), belief.mean

    slope, x_0 = gradient(value, x_t)
    return x_0, slope


def guide_clean_image(x_0: Tensor, y: Measurement, operator: Operator) -> Tensor:
    """Differentiate the distance with respect to the clean image, without any network of the prior.

        g = grad_{x_0} d(A(x_0), y)

    Returns:
        The gradient, `(N, *shape)`.
    """

    def value(x_0: Tensor) -> tuple[Tensor, Tensor]:
        distance = operator.distance(x_0, y)
        return distance, distance

    slope, _ = gradient(value, x_0)
    return slope


def _each(measure: Callable[[Tensor, Measurement], Tensor], samples: Tensor, y: Measurement) -> Tensor:
    """Compare each draw with the measurement, `(M, N)`."""
    return torch.stack([measure(sample, y) for sample in samples])
