"""The finite prior `x_0 in {x_1, ..., x_K}` with probabilities `w_i`: exact for every operator, also non-linear ones.

    E[x_0 | x_t] = sum_i r_i x_i,    r_i = softmax_i(log w_i - |x_t - x_i|^2 / (2 sigma^2))

A measurement only changes the weights, by Bayes' rule: `w_i p(y | x_i)`, divided by their sum.
"""

from typing import Self

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import Operator
from dis_lightning.priors.base import per_image
from dis_lightning.priors.exact.base import (
    ExactPrior,
    check_images,
    check_single,
    choose,
    log_normalised,
    nearness,
)
from dis_lightning.priors.flow import FlowMap
from dis_lightning.types import Measurement, repeat

__all__ = ["FiniteAtomPrior"]

# Operators may be large networks, so the atoms pass through them in parts.
PART = 64


class FiniteAtomPrior(ExactPrior):
    """One of K images.

    An evaluation keeps N (K + D) numbers, for N noisy images with D values each.

    Args:
        atoms: the images, `(K, *shape)`. Their type is that of all computations.
        weights: their probabilities, `(K,)`, >= 0; divided by their sum. Equal if not given.

    Attributes:
        atoms: the images, `(K, *shape)`.
        log_weights: logarithms of the normalised weights, `(K,)`.

    Raises:
        ValueError: if a number is not finite or the weights are none.
    """

    atoms: Tensor
    log_weights: Tensor

    def __init__(self, atoms: Tensor, weights: Tensor | None = None) -> None:
        super().__init__()
        check_images("atoms", atoms)
        self.shape = tuple(atoms.shape[1:])
        self.register_buffer("log_weights", log_normalised(weights, atoms))
        self.register_buffer("atoms", atoms.detach().clone())

    @property
    def weights(self) -> Tensor:
        """Probabilities of the atoms, `(K,)`."""
        return self.log_weights.exp()

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        """See `Denoiser.forward`."""
        atoms = self.atoms.flatten(1)
        x = self._rows(x_t, atoms)
        variances = torch.as_tensor(per_image(sigma, x), dtype=x.dtype, device=x.device).reshape(-1, 1) ** 2
        r = nearness(x, atoms, variances, self.log_weights)
        return torch.unflatten(r @ atoms, 1, self.shape).to(x_t.dtype)

    def sample(self, noise: NoiseSource) -> Tensor:
        """Draw atoms, each by one number of its stream; see `ExactPrior.sample`."""
        return self.atoms[choose(self.log_weights, noise.normal((len(noise),)).to(self.atoms))]

    @torch.no_grad()
    def posterior(self, operator: Operator, y: Measurement) -> Self:
        """Condition on one measurement of any kind; see `ExactPrior.posterior`.

        Raises:
            ValueError: if there is not exactly one measurement, if its density does not exist, or if no atom with a
                positive weight can explain it.
        """
        check_single(y)
        parts = self.atoms.split(PART)
        energies = torch.cat([operator.energy(part, repeat(y, len(part))) for part in parts])
        log_weights = self.log_weights - energies.to(self.log_weights)
        if log_weights.isnan().any() or log_weights.max().isinf():
            raise InvalidValueError(
                f"{type(operator).__name__} gives no finite energy for this measurement: {energies}."
            )
        posterior = type(self)(self.atoms)
        # Set as logarithms: as plain weights, those far in the tail would become 0.
        posterior.log_weights = log_weights.log_softmax(0)
        return posterior

    def consistency_map(self, sigma_min: float = 0.002) -> FlowMap:
        """The probability flow, integrated numerically; see `ExactPrior.consistency_map`."""
        return FlowMap(self, sigma_min=sigma_min)
