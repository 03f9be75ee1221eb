"""EDM: the posterior mean, by a network.

Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022, table 1:

    c_skip = sigma_data^2 / (sigma^2 + sigma_data^2),    c_out = sigma sigma_data / sqrt(sigma^2 + sigma_data^2)
"""

from typing import ClassVar

from torch import Tensor

from dis_lightning.priors.base import Kind
from dis_lightning.priors.preconditioning import Preconditioned

__all__ = ["EDM"]


class EDM(Preconditioned):
    """The mean of the clean image given a noisy one, `E[x_0 | x_t]`.

    Arguments and errors: see `Preconditioned` and `NetworkPrior`.
    """

    kind: ClassVar[Kind] = "posterior mean"
    gives: ClassVar[str] = "posterior mean"

    def scalings(self, sigma: float | Tensor) -> tuple[float | Tensor, float | Tensor]:
        """Give `c_skip` and `c_out`: both network and skip connection then have unit variance to explain."""
        total = sigma**2 + self.sigma_data**2
        return self.sigma_data**2 / total, sigma * self.sigma_data / total**0.5
