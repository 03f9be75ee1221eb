"""Consistency models: the end of the probability flow, by a network in one step.

Song et al., "Consistency Models", 2023, appendix C:

    c_skip = sigma_data^2 / ((sigma - sigma_min)^2 + sigma_data^2)
    c_out  = (sigma - sigma_min) sigma_data / sqrt(sigma^2 + sigma_data^2)

so that the model is the identity at `sigma_min`.
"""

from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from dis_lightning.errors import require_not_negative
from dis_lightning.priors.base import Kind
from dis_lightning.priors.networks.base import RawNetwork
from dis_lightning.priors.preconditioning import Preconditioned

__all__ = ["ConsistencyModel"]


class ConsistencyModel(Preconditioned):
    """The clean image that the probability flow leads to from a noisy one.

    Args:
        network: the raw network, or where to find a trained one; see `NetworkPrior`.
        sigma_min: the level at which the model is exactly the identity.
        edm_scalings: evaluate the network with the scalings of `EDM`, without the offset `sigma_min`. So did the code
            of Xu et al., "Consistency Models Improve Diffusion Inverse Solvers", 2024, with networks that were trained
            with the offset; the two differ at levels near `sigma_min`.
        **common: the other arguments of `Preconditioned` and `NetworkPrior`.

    Raises:
        ValueError: if `sigma_min` is negative, and as in `Preconditioned`.
    """

    kind: ClassVar[Kind] = "consistency map"
    gives: ClassVar[str] = "consistency map"

    def __init__(
        self,
        network: RawNetwork | str | Path,
        *,
        sigma_min: float = 0.002,
        edm_scalings: bool = False,
        **common: Any,
    ) -> None:
        super().__init__(network, **common)
        require_not_negative(self, sigma_min=sigma_min)
        self.sigma_min = sigma_min
        self.edm_scalings = edm_scalings

    def scalings(self, sigma: float | Tensor) -> tuple[float | Tensor, float | Tensor]:
        """Give `c_skip` and `c_out`, which are 1 and 0 at `sigma_min`."""
        distance = sigma if self.edm_scalings else sigma - self.sigma_min
        c_skip = self.sigma_data**2 / (distance**2 + self.sigma_data**2)
        c_out = distance * self.sigma_data / (sigma**2 + self.sigma_data**2) ** 0.5
        return c_skip, c_out
