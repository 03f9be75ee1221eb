"""The Gaussian prior `x_0 ~ N(m, C)`, with everything in closed form.

In the coordinates `u = V^T (x_t - m)` along the eigenvectors of `C = V diag(lambda) V^T`:

    denoiser           E[x_0 | x_t] = m + V [lambda / (lambda + sigma^2) u]
    consistency map    f(x_t)       = m + V [sqrt((lambda + sigma_min^2) / (lambda + sigma^2)) u]

The second is the solution of the probability flow `dx / dsigma = (x - E[x_0 | x]) / sigma` from sigma to sigma_min
(Karras et al. 2022, equation 1): each coordinate keeps its number of standard deviations.
"""

from typing import ClassVar, Self

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError, require_positive
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import Operator
from dis_lightning.priors.base import Denoiser, Kind
from dis_lightning.priors.exact.base import ExactPrior, check_images
from dis_lightning.priors.exact.covariances import Covariances, condition
from dis_lightning.types import Measurement

__all__ = ["GaussianConsistencyMap", "GaussianPrior"]


class GaussianPrior(ExactPrior):
    """Images from one Gaussian.

    The covariance is decomposed once; then an evaluation is two products with a D x D matrix, so that D = 3072 (an RGB
    image of 32 pixels) is still quick.

    Args:
        mean: mean image, of any shape with D values in all. Its type is that of all computations.
        covariance: `(D, D)`, symmetric, eigenvalues >= 0. Give a singular one in float64: rounding to float32 fills its
            null space.

    Attributes:
        mean: mean image.

    Raises:
        ValueError: if the shapes do not fit, a number is not finite, or the covariance is none.
    """

    mean: Tensor

    def __init__(self, mean: Tensor, covariance: Tensor) -> None:
        super().__init__()
        check_images("mean", mean.unsqueeze(0))
        if covariance.shape != (mean.numel(), mean.numel()):
            raise InvalidValueError(
                f"A mean of shape {tuple(mean.shape)} needs a covariance {(mean.numel(), mean.numel())}, "
                f"but got {tuple(covariance.shape)}."
            )
        self.shape = tuple(mean.shape)
        self.register_buffer("mean", mean.detach().clone())
        self._covariances = Covariances(covariance.unsqueeze(0), mean)

    @property
    def covariance(self) -> Tensor:
        """The covariance, `(D, D)`, in float64 on the CPU."""
        return self._covariances.matrices().squeeze(0)

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        """See `Denoiser.forward`."""
        u = self._coordinates(x_t)
        gain = self._covariances.variances / self._covariances.noisy(sigma, u)
        return self._images(gain * u).to(x_t.dtype)

    def sample(self, noise: NoiseSource) -> Tensor:
        """Draw clean images `m + V sqrt(lambda) n`; see `ExactPrior.sample`."""
        n = noise.normal((len(noise), 1, self.mean.numel())).to(self.mean)
        return self._images(self._covariances.variances.sqrt() * n)

    def posterior(self, operator: Operator, y: Measurement) -> Self:
        """Condition on one linear measurement, in float64; see `ExactPrior.posterior`.

        Raises:
            TypeError: if the operator is not linear.
            ValueError: if it has no noise, or if there is not exactly one measurement of the right size.
        """
        means, covariances, _ = condition(self.mean.unsqueeze(0), self._covariances, operator, y)
        return type(self)(means[0].to(self.mean.dtype), covariances[0]).to(self.mean.device)

    def consistency_map(self, sigma_min: float = 0.002) -> "GaussianConsistencyMap":
        """The probability flow in closed form; see `ExactPrior.consistency_map`."""
        return GaussianConsistencyMap(self, sigma_min)

    def _coordinates(self, x_t: Tensor) -> Tensor:
        return self._covariances.project(self._rows(x_t, self.mean) - self.mean.flatten())

    def _images(self, u: Tensor) -> Tensor:
        return torch.unflatten(self.mean.flatten() + self._covariances.lift(u), 1, self.shape)


class GaussianConsistencyMap(Denoiser):
    """The consistency map of a Gaussian prior, in closed form.

    Args:
        prior: the prior.
        sigma_min: where the trajectories end, > 0.

    Raises:
        ValueError: if `sigma_min` is not positive.
    """

    kind: ClassVar[Kind] = "consistency map"

    def __init__(self, prior: GaussianPrior, sigma_min: float = 0.002) -> None:
        super().__init__()
        require_positive(self, sigma_min=sigma_min)
        self.shape = prior.shape
        self.prior = prior
        self.sigma_min = sigma_min

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        """Follow the probability flow from `sigma` to `sigma_min`; see `Denoiser.forward`."""
        u, covariances = self.prior._coordinates(x_t), self.prior._covariances
        gain = torch.sqrt(covariances.noisy(self.sigma_min, u) / covariances.noisy(sigma, u))
        return self.prior._images(gain * u).to(x_t.dtype)
