"""The Gaussian mixture prior `x_0 ~ sum_k w_k N(m_k, C_k)`.

With `C_k = V_k diag(lambda_k) V_k^T` and the coordinates `u_k = V_k^T (x_t - m_k)`:

    r_k            = softmax_k(log w_k - sum log(lambda_k + sigma^2) / 2 - sum u_k^2 / (lambda_k + sigma^2) / 2)
    E[x_0 | x_t]   = sum_k r_k (m_k + V_k [lambda_k / (lambda_k + sigma^2) u_k])

A linear measurement with Gaussian noise keeps the family: every component is conditioned, and its weight is multiplied
by its evidence `p(y | k)`.
"""

from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from dis_lightning.errors import InvalidValueError
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import Operator
from dis_lightning.priors.exact.base import ExactPrior, check_images, choose, log_normalised, nearness, responsibilities
from dis_lightning.priors.exact.covariances import Covariances, condition
from dis_lightning.priors.flow import FlowMap
from dis_lightning.types import Measurement

__all__ = ["GaussianMixturePrior"]


class GaussianMixturePrior(ExactPrior):
    """Images from a mixture of K Gaussians.

    An evaluation keeps N (K + D) numbers and multiplies with one D x D matrix twice where the covariance is shared;
    where it is not, N K D numbers and K matrices.

    Args:
        weights: `(K,)`, >= 0; divided by their sum.
        means: mean images, `(K, *shape)` with D values each. Their type is that of all computations.
        covariances: `(D, D)` or `(1, D, D)` for all components, or `(K, D, D)`; symmetric, eigenvalues >= 0. Give
            singular ones in float64: rounding to float32 fills their null space.

    Attributes:
        means: mean images, `(K, *shape)`.
        log_weights: logarithms of the normalised weights, `(K,)`.

    Raises:
        ValueError: if the shapes do not fit, a number is not finite, or a covariance or the weights are none.
    """

    means: Tensor
    log_weights: Tensor
    _centre: Tensor
    _offsets: Tensor

    def __init__(self, weights: Tensor, means: Tensor, covariances: Tensor) -> None:
        super().__init__()
        check_images("means", means)
        size = means.shape[1:].numel()
        if covariances.shape not in [(size, size), (1, size, size), (len(means), size, size)]:
            raise InvalidValueError(
                f"Means of shape {tuple(means.shape)} need covariances {(size, size)} or {(len(means), size, size)}, "
                f"but got {tuple(covariances.shape)}."
            )
        self.shape = tuple(means.shape[1:])
        self.register_buffer("log_weights", log_normalised(weights, means))
        self.register_buffer("means", means.detach().clone())
        self._covariances = Covariances(covariances.reshape(-1, size, size), means)
        # Coordinates start from the middle of the means, so that an offset which all share costs no digits.
        m = means.detach().flatten(1)
        basis = self._covariances.basis.expand(len(m), -1, -1)
        self.register_buffer("_centre", m.mean(0))
        self.register_buffer("_offsets", torch.einsum("kd, kde -> ke", m - m.mean(0), basis))

    @property
    def weights(self) -> Tensor:
        """Probabilities of the components, `(K,)`."""
        return self.log_weights.exp()

    @property
    def covariances(self) -> Tensor:
        """The covariances, `(1, D, D)` if shared, else `(K, D, D)`, in float64 on the CPU."""
        return self._covariances.matrices()

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        """See `Denoiser.forward`."""
        variances = self._covariances.variances
        if len(variances) == 1:  # N (K + D) numbers instead of N K D
            return self._shared(x_t, sigma)
        u = self._coordinates(x_t)
        noisy = self._covariances.noisy(sigma, u)
        # Logarithms of ratios near 1: those of the variances themselves would lose digits at high levels.
        log_volumes = (noisy / noisy.mean(-2, keepdim=True)).log().sum(-1) / 2
        r = responsibilities(u / noisy.sqrt(), self.log_weights - log_volumes)
        return self._images(r, variances / noisy * u).to(x_t.dtype)

    def sample(self, noise: NoiseSource) -> Tensor:
        """Draw clean images; the first number of each stream picks the component. See `ExactPrior.sample`."""
        n = noise.normal((len(noise), 1 + self.means[0].numel())).to(self.means)
        components = F.one_hot(choose(self.log_weights, n[:, 0]), len(self.means))
        return self._images(components.to(n), self._covariances.variances.sqrt() * n[:, None, 1:])

    def posterior(self, operator: Operator, y: Measurement) -> Self:
        """Condition on one linear measurement, in float64; see `ExactPrior.posterior`.

        Raises:
            TypeError: if the operator is not linear.
            ValueError: if it has no noise, or if there is not exactly one measurement of the right size.
        """
        means, covariances, log_evidence = condition(self.means, self._covariances, operator, y)
        posterior = type(self)(self.weights, means.to(self.means), covariances)
        # Set as logarithms: as plain weights, those far in the tail would become 0.
        log_weights = torch.log_softmax(self.log_weights.cpu().double() + log_evidence, 0)
        posterior.log_weights = log_weights.to(self.means)
        return posterior

    def consistency_map(self, sigma_min: float = 0.002) -> FlowMap:
        """The probability flow, integrated numerically; see `ExactPrior.consistency_map`."""
        return FlowMap(self, sigma_min=sigma_min)

    def _shared(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        # With one covariance, sum_k r_k u_k = u - sum_k r_k o_k of the coordinates u and of the means' own, o_k.
        u = self._covariances.project(self._rows(x_t, self._centre) - self._centre)
        variances, noisy = self._covariances.variances, self._covariances.noisy(sigma, u)
        r = nearness(u[:, 0], self._offsets, noisy.reshape(-1, u.shape[2]), self.log_weights)
        within = variances / noisy * (u - (r @ self._offsets)[:, None])
        means = r @ self.means.flatten(1) + self._covariances.lift(within)
        return torch.unflatten(means, 1, self.shape).to(x_t.dtype)

    def _coordinates(self, x_t: Tensor) -> Tensor:
        # V_k^T (x_t - m_k), (N, K, D)
        return self._covariances.project(self._rows(x_t, self._centre) - self._centre) - self._offsets

    def _images(self, r: Tensor, u: Tensor) -> Tensor:
        # sum_k r_k (m_k + V_k u_k); components with the same V are summed before it is applied.
        grouped = (r.unsqueeze(-1) * u).unflatten(1, (-1, len(self._covariances.basis))).sum(1)
        return torch.unflatten(r @ self.means.flatten(1) + self._covariances.lift(grouped), 1, self.shape)
