"""What the priors in closed form share: a contract, checks, and weighted components.

With `x_t = x_0 + sigma n` and a prior made of weighted components k (Gaussians, or single images),

    E[x_0 | x_t] = sum_k r_k E[x_0 | x_t, k],    r_k = softmax_k(log w_k - |s_k|^2 / 2),

where the residual `s_k` is `x_t` less the mean of component k, divided by its standard deviation at level `sigma`.

The noise of `x_t` knows nothing of the measurement: given `x_0`, `x_t` and `y` are independent. Hence

    E[x_0 | x_t, y] = int x_0 p(x_t | x_0) p(x_0 | y) dx_0 / int p(x_t | x_0) p(x_0 | y) dx_0,

so the denoiser of the posterior `p(x_0 | y)`, taken as a prior, is the exact conditional denoiser.
"""

from abc import abstractmethod
from typing import ClassVar, Self

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import Operator
from dis_lightning.priors.base import Denoiser, Kind
from dis_lightning.types import Measurement

__all__ = [
    "ExactPrior",
    "check_images",
    "check_numbers",
    "check_single",
    "choose",
    "log_normalised",
    "nearness",
    "responsibilities",
]


class ExactPrior(Denoiser):
    """A prior whose posterior mean, samples and posteriors are known exactly.

    All are accurate in float32 for levels from 0.002 to 1000, and differentiable. Numbers are computed in the type of
    the prior's own tensors and given back in the type of `x_t`. Row i of a result depends on row i alone.
    """

    kind: ClassVar[Kind] = "posterior mean"

    @abstractmethod
    def sample(self, noise: NoiseSource) -> Tensor:
        """Draw clean images exactly, `(N, *shape)`, one from each of the N streams of `noise`."""

    @abstractmethod
    def posterior(self, operator: Operator, y: Measurement) -> Self:
        """Condition on one measurement: the prior `p(x_0 | y)`, of the same class.

        Its denoiser is the exact conditional denoiser `E[x_0 | x_t, y]`; see the head of this module for the reason.

        Args:
            operator: what was measured, with its noise.
            y: one measurement, `(1, ...)`.

        Raises:
            ValueError: if there is not exactly one measurement, or if its density does not exist.
        """

    @abstractmethod
    def consistency_map(self, sigma_min: float = 0.002) -> Denoiser:
        """The map from `x_t` at any level to level `sigma_min`, along the probability flow through `x_t`.

        Args:
            sigma_min: where the trajectories end, > 0; there the map is the identity.

        Raises:
            ValueError: if `sigma_min` is not positive.
        """

    def _rows(self, x_t: Tensor, like: Tensor) -> Tensor:
        if x_t.shape[1:] != self.shape:
            raise InvalidValueError(
                f"{type(self).__name__} needs images (N, {', '.join(map(str, self.shape))}), "
                f"but got {tuple(x_t.shape)}."
            )
        return x_t.flatten(1).to(like)


def check_numbers(name: str, value: Tensor) -> None:
    """Refuse what are not finite floating-point numbers.

    Raises:
        ValueError: if `value` has another type or is not finite.
    """
    if not value.is_floating_point() or not value.isfinite().all():
        bad = int((~value.isfinite()).sum())
        raise InvalidValueError(
            f"The {name} must be finite floats, but got {value.dtype} with {bad} non-finite numbers."
        )


def check_images(name: str, value: Tensor) -> None:
    """Refuse what are not K images of finite floating-point numbers, `(K, *shape)`.

    Raises:
        ValueError: if `value` is empty, has no axis besides K, has another type or is not finite.
    """
    if value.ndim < 2 or value.numel() == 0:
        raise InvalidValueError(
            f"The {name} must be images with at least one axis and one value, but got {list(value.shape)}."
        )
    check_numbers(name, value)


def check_single(y: Measurement) -> None:
    """Refuse any number of measurements but one.

    Raises:
        ValueError: if `y` has not exactly one row.
    """
    if len(y) != 1:
        raise InvalidValueError(
            f"A posterior belongs to one measurement, (1, ...), but got {len(y)}: take them one by one."
        )


def log_normalised(weights: Tensor | None, means: Tensor) -> Tensor:
    """Logarithms of weights that sum to 1, `(K,)`, with the type of the K `means`; equal weights where None.

    Raises:
        ValueError: if the weights are not K finite numbers >= 0 with a positive sum.
    """
    if weights is None:
        weights = means.new_ones(len(means))
    check_numbers("weights", weights)
    if weights.shape != means.shape[:1] or weights.min() < 0 or weights.sum() <= 0:
        raise InvalidValueError(f"{len(means)} components need as many weights >= 0, not all 0, but got {weights}.")
    weights = weights.detach().cpu().double()
    return (weights / weights.sum()).log().to(means)


def responsibilities(residuals: Tensor, log_weights: Tensor) -> Tensor:
    """How likely each component is, `softmax_k(log_weights_k - |residuals_k|^2 / 2)`.

    The squares are of the size of D and nearly equal at high noise levels. So each is compared with that of the
    likeliest component c as `|s_c|^2 - |s_k|^2 = (s_c - s_k) . (s_c + s_k)`, which does not cancel.

    Args:
        residuals: whitened residuals `s_k`, `(N, K, D)`.
        log_weights: `(K,)` or `(N, K)`.

    Returns:
        Probabilities, `(N, K)`.
    """
    # The softmax does not feel what all components share, so no gradient through the likeliest one is needed.
    with torch.no_grad():
        likeliest = (log_weights - residuals.square().sum(-1) / 2).argmax(1)
        reference = torch.take_along_dim(residuals, likeliest[:, None, None], dim=1)
    gaps = ((reference - residuals) * (reference + residuals)).sum(-1) / 2
    return (log_weights + gaps).softmax(1)


def nearness(x_t: Tensor, points: Tensor, variances: Tensor, log_weights: Tensor) -> Tensor:
    """How likely each component is where all have one covariance: `responsibilities`, by a product of matrices.

        r_k = softmax_k(log w_k + x_t . (p_k / v) - p_k . (p_k / v) / 2)

    What all components share is left out, and the rest is computed in float64: in float32 it would cancel.

    Args:
        x_t: noisy images, `(N, D)`, in coordinates in which the covariance is diagonal.
        points: centres of the components, `(K, D)`.
        variances: v, those of `x_t` about its centre, `(1, D)` or `(N, D)`, or with one column.
        log_weights: `(K,)`.

    Returns:
        Probabilities, `(N, K)`, in the type of `points`.
    """
    precisions, p = (1 / variances.double()).expand(-1, points.shape[1]), points.double()
    squares = precisions @ p.square().T
    return (log_weights + (x_t.double() * precisions) @ p.T - squares / 2).softmax(1).to(points)


def choose(log_weights: Tensor, normal: Tensor) -> Tensor:
    """Pick one component for each of N standard normal numbers, by the uniform numbers `Phi(normal)`: indices `(N,)`.

    A component of weight 0 is never picked.
    """
    steps = log_weights.exp().cumsum(0)
    return torch.searchsorted(steps / steps[-1], torch.special.ndtr(normal))
