"""Guidance: the gradient that pulls a sample towards the measurement.

    through the network    g = grad_{x_t} L(x_0^(1), ..., x_0^(M)),    x_0^(m) ~ posterior(x_t)
    at the clean image     g = grad_{x_0} L(x_0)

How far a sample follows the first is the product of a scale and a weight by level. Papers differ in the weight, so that
their scales are in different units: `Convention`.

Values are summed over images before they are differentiated, so that each image receives the gradient of its own value
alone.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from dis_lightning.described import Described
from dis_lightning.errors import InvalidValueError, require_type
from dis_lightning.gradients import gradient
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import GaussianOperator, Operator, require_density
from dis_lightning.posteriors import PosteriorModel, Spread
from dis_lightning.types import Guided, Measurement

__all__ = [
    "Convention",
    "LikelihoodScale",
    "LogMeanExp",
    "MeanDistance",
    "Reduction",
    "SigmaScale",
    "SumDistance",
    "VPScale",
    "guide_clean_image",
    "guide_noisy_image",
]


class Reduction(Described, ABC):
    """How M draws of the clean image make one value L per row, which guidance descends.

    Attributes:
        follows_density: whether L is made of energies, which need a measurement with noise, and not of distances.
    """

    follows_density: ClassVar[bool] = False

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

    follows_density: ClassVar[bool] = True

    def __call__(self, samples: Tensor, y: Measurement, operator: Operator) -> Tensor:
        """See the class.

        Raises:
            ValueError: if the operator has no noise, and so no density.
        """
        return math.log(len(samples)) - _each(operator.energy, samples, y).neg().logsumexp(dim=0)


_MEAN_DISTANCE, _LOG_MEAN_EXP = MeanDistance(), LogMeanExp()


class Convention(Described, ABC):
    """What the scale of guidance through the network is measured in: which value L it follows, and how far by level.

    Attributes:
        reduction: the value L that is followed unless another is given.
    """

    reduction: ClassVar[Reduction] = _MEAN_DISTANCE

    @abstractmethod
    def guided(
        self, x_0: Tensor, slope: Tensor, scale: float, sigma: float, sigma_next: float, operator: Operator
    ) -> Guided:
        """Make a step of a gradient.

        Args:
            x_0: posterior means, `(N, *shape)`.
            slope: `grad_{x_t} L`, same shape.
            scale: guidance strength, >= 0.
            sigma: level of `x_t`, > 0.
            sigma_next: level that the step goes to, in [0, sigma).
            operator: what was measured.
        """

    def settle(self, owner: object, operator: Operator, reduction: Reduction | None = None) -> Reduction:
        """Choose the value that is followed, and refuse one that does not exist; called before anything is sampled.

        Args:
            owner: who guides.
            operator: what compares.
            reduction: the choice of the user, if there is one.

        Raises:
            ValueError: if energies are to be followed of an operator without noise, or this convention is in the units
                of energies and the reduction is one of distances.
        """
        require_type(owner, Reduction | None, reduction=reduction)
        chosen = reduction or self.reduction
        if self.reduction.follows_density and not chosen.follows_density:
            raise InvalidValueError(
                f"{type(self).__name__} follows the likelihood, but {type(chosen).__name__} is made of distances; "
                f"leave the reduction out or give {type(self.reduction).__name__}."
            )
        if chosen.follows_density:
            require_density(owner, operator)
        return chosen


class SigmaScale(Convention):
    """The convention of Xu et al. 2024 and Purohit et al. 2024, the default: a shift of the noisy image.

        x_next = transition(x_t, D) - scale sigma grad_{x_t} L,    L = d(A(x_0), y)

    Their scales belong to a number of steps, for the shifts add up.
    """

    def guided(
        self, x_0: Tensor, slope: Tensor, scale: float, sigma: float, sigma_next: float, operator: Operator
    ) -> Guided:
        """See the class."""
        return Guided(x_0, scale * sigma * slope)


class VPScale(Convention):
    """The convention of Chung et al., DPS, 2023, and of all who count in DDPM steps: their scale, in our variable.

        x_next = transition(x_t, D) - scale sqrt(1 + sigma_next^2) sqrt(1 + sigma^2) grad_{x_t} L,    L = d(A(x_0), y)

    A variance-preserving image is `u = x_t / sqrt(1 + sigma^2)`, and the paper's step is
    `u_next = DDPM(u, D) - scale grad_u L`. With `AncestralEuler()`, which is DDPM's step with the smaller of its two
    variances, and the levels that the network was trained at (1000 in the paper), the two walks are the same.
    """

    def guided(
        self, x_0: Tensor, slope: Tensor, scale: float, sigma: float, sigma_next: float, operator: Operator
    ) -> Guided:
        """See the class."""
        return Guided(x_0, scale * math.hypot(1, sigma) * math.hypot(1, sigma_next) * slope)


class LikelihoodScale(Convention):
    """The weight of Bayes' rule: a scale of 1 means the likelihood, at any number of steps.

        x_0' = D + scale sigma^2 grad_{x_t} log p(y | x_t),    L = -log p(y | x_0)
        x_next = transition(x_t, x_0')

    By Tweedie's formula `x_0'` is the posterior mean given both `x_t` and y, as far as L is `-log p(y | x_t)`: exactly
    for many draws of `p(x_0 | x_t)` and `LogMeanExp`. For a single point the likelihood at that point stands in its
    place, too narrow where the point is uncertain: at high levels the step may overshoot and the walk diverge. A spread
    r widens it, for measurements with Gaussian noise, as if A kept lengths:

        grad log p(y | x_t)  ->  noise_std^2 / (noise_std^2 + r(sigma)^2) grad log p(y | x_0 = D)

    Of an A that keeps lengths and a Gaussian prior of that spread it is exact then. The operator must have a density.

    Args:
        spread: r, how far off the point is believed to be, times how much A stretches; as if it were known if not
        given.
    """

    reduction: ClassVar[Reduction] = _LOG_MEAN_EXP

    def __init__(self, spread: Spread | None = None) -> None:
        require_type(self, Spread | None, spread=spread)
        self.spread = spread

    def guided(
        self, x_0: Tensor, slope: Tensor, scale: float, sigma: float, sigma_next: float, operator: Operator
    ) -> Guided:
        """See the class."""
        if self.spread and isinstance(operator, GaussianOperator):
            scale /= 1 + (self.spread(sigma) / operator.noise_std) ** 2
        return Guided(x_0 - scale * sigma**2 * slope, None)


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

    _, slope, x_0 = gradient(value, x_t)
    return x_0, slope


def guide_clean_image(
    x_0: Tensor,
    y: Measurement,
    operator: Operator,
    reduction: Reduction = _MEAN_DISTANCE,
    draws: Callable[[Tensor], Tensor] = lambda x_0: x_0.unsqueeze(0),
) -> Tensor:
    """Differentiate with respect to the clean image, without any network of the prior.

        g = grad_{x_0} L(x_0),    L(x_0) = d(A(x_0), y) unless said otherwise

    Args:
        x_0: clean images, `(N, *shape)`.
        y: what was measured, one entry per row.
        operator: what compares.
        reduction: how draws make one value per row.
        draws: gives draws around the clean images, `(M, N, *shape)`; the images themselves if not given.

    Returns:
        The gradient, `(N, *shape)`.
    """
    _, slope, _ = gradient(lambda x_0: (reduction(draws(x_0), y, operator), x_0), x_0)
    return slope


def _each(measure: Callable[[Tensor, Measurement], Tensor], samples: Tensor, y: Measurement) -> Tensor:
    """Compare each draw with the measurement, `(M, N)`."""
    return torch.stack([measure(sample, y) for sample in samples])
