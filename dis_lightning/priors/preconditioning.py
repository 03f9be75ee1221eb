"""From a raw network to an estimate of the clean image.

Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022, equation 7:

    D(x_t, sigma) = c_skip x_t + c_out F(c_in x_t, t, y),    c_in = 1 / sqrt(sigma^2 + sigma_data^2)

The time input `t` is what the network says that it was trained with: `250 ln sigma` in those published with
"Consistency Models" (Song et al., 2023), `ln sigma / 4` in NVlabs'.
`c_skip` and `c_out` say what the network was trained for, and are left to the two leaves, `EDM` and `ConsistencyModel`.
"""

import math
from abc import abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError, require_positive
from dis_lightning.priors.base import per_image
from dis_lightning.priors.clipping import clipped
from dis_lightning.priors.network_prior import NetworkPrior
from dis_lightning.priors.networks.base import RawNetwork, TimeInput

__all__ = ["Preconditioned"]


class Preconditioned(NetworkPrior):
    """A raw network between scaled input and scaled output.

    Args:
        network: the raw network, or where to find a trained one; see `NetworkPrior`.
        sigma_data: standard deviation of the data that the network was trained with; None for what the network says.
        **common: the other arguments of `NetworkPrior`.

    Raises:
        ValueError: if `sigma_data` is not positive, if the network does not give as many channels as its images have,
            and as in `NetworkPrior`.
        FileNotFoundError: if nothing is known under the name of the network.
    """

    # What the published networks were trained on, and those of rooms too. Below, the time input goes on as it is.
    sigma_range = (0.002, 80.0)

    def __init__(self, network: RawNetwork | str | Path, *, sigma_data: float | None = None, **common: Any) -> None:
        super().__init__(network, **common)
        given, channels = getattr(self.network, "out_channels", self.shape[0]), self.shape[0]
        if given != channels:
            raise InvalidValueError(
                f"{type(self).__name__} needs a network that gives as many channels as its images have, {channels}, "
                f"but this one gives {given}: its out_channels are wrong, or it predicts noise and is for VP."
            )
        # A network of a user's own may not say what it was trained with.
        self.time_input: TimeInput = getattr(self.network, "time_input", "250 ln sigma")
        self.sigma_data: float = getattr(self.network, "sigma_data", 0.5) if sigma_data is None else sigma_data
        require_positive(self, sigma_data=self.sigma_data)

    @abstractmethod
    def scalings(self, sigma: float | Tensor) -> tuple[float | Tensor, float | Tensor]:
        """Give `c_skip` and `c_out` at noise levels, a float or anything that multiplies images."""

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        """Estimate the clean images; see `Denoiser`.

        Raises:
            ValueError: if the images do not fit the network, if classes are needed and none are bound, or if a noise
                level given as a float is not positive.
        """
        level = per_image(sigma, x_t)
        c_skip, c_out = self.scalings(level)
        c_in = 1 / (level**2 + self.sigma_data**2) ** 0.5
        output = self.evaluate(c_in * x_t, _time(sigma, x_t, _TIMES[self.time_input]))
        x_0: Tensor = c_skip * x_t + c_out * output.to(x_t.dtype)
        return clipped(x_0, self.clip)


_TIMES: dict[TimeInput, float] = {"250 ln sigma": 250.0, "ln sigma / 4": 0.25}


def _time(sigma: float | Tensor, x_t: Tensor, factor: float) -> Tensor:
    """`factor ln sigma` for each image, `(N,)`, in float32; a float does not make the host wait for the device."""
    if isinstance(sigma, Tensor):
        return factor * sigma.to(x_t.device, torch.float32).log().reshape(-1).expand(len(x_t))
    if sigma <= 0:
        raise InvalidValueError(f"A network denoises at sigma > 0, but got {sigma}.")
    return torch.full((len(x_t),), factor * math.log(sigma), device=x_t.device)
