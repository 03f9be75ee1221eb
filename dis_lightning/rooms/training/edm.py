"""Training of a denoiser.

Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022, equations 2 and 7 and table 1:

    L = E lambda(sigma) mean (D(x_0 + sigma n, sigma) - x_0)^2,    lambda = 1 / c_out^2,   ln sigma ~ N(P_mean, P_std^2)

The levels of a batch are stratified: one in each of N equally likely parts, which takes much of the noise out of the
gradient.
"""

import torch
from torch import Tensor

from dis_lightning.images import dequantise
from dis_lightning.priors.base import Denoiser, per_image
from dis_lightning.priors.edm import EDM
from dis_lightning.rooms.training.base import Training
from dis_lightning.rooms.training.data import RoomBatch

__all__ = ["EDMTraining", "edm_losses", "lognormal_levels"]


class EDMTraining(Training):
    """Train an EDM from nothing.

    Args:
        model: the EDM, its network built and not yet trained.
        log_mean: mean of `ln sigma`.
        log_std: standard deviation of `ln sigma`.
        rate: see `Training`.
        warm_up: see `Training`.
        decay_after: see `Training`.
        sharpness: see `Training`.
        seed: see `Training`.
    """

    model: EDM
    average: EDM

    def __init__(
        self,
        model: EDM,
        log_mean: float = -1.2,
        log_std: float = 1.2,
        rate: float = 1e-3,
        warm_up: int = 200,
        decay_after: int = 2000,
        sharpness: float = 12.0,
        seed: int = 0,
    ) -> None:
        super().__init__(model, rate, warm_up, decay_after, sharpness, seed)
        self.log_mean, self.log_std = log_mean, log_std

    def losses(self, rooms: RoomBatch, random: torch.Generator) -> Tensor:
        """See the module."""
        x_0 = dequantise(rooms.images)
        sigma = lognormal_levels(len(x_0), self.log_mean, self.log_std, random)
        noise = torch.randn(x_0.shape, generator=random, device=x_0.device)
        _, c_out = self.model.scalings(sigma)
        assert isinstance(c_out, Tensor)
        return edm_losses(self.model, x_0, noise, sigma, c_out)


def edm_losses(denoiser: Denoiser, x_0: Tensor, noise: Tensor, sigma: Tensor, scale: Tensor) -> Tensor:
    """The weighted squared error of a denoiser, one number per image.

    Args:
        denoiser: what is judged.
        x_0: clean images, `(N, C, H, W)`.
        noise: standard normal numbers, same shape.
        sigma: noise levels, `(N,)`.
        scale: what errors are divided by, `c_out(sigma)`, `(N,)`.

    Returns:
        Losses, `(N,)`.
    """
    error: Tensor = (denoiser(x_0 + per_image(sigma, x_0) * noise, sigma) - x_0) / per_image(scale, x_0)
    return error.square().mean(dim=(1, 2, 3))


def lognormal_levels(number: int, log_mean: float, log_std: float, random: torch.Generator) -> Tensor:
    """Noise levels with normal logarithms, `(number,)`, one in each of as many equally likely parts."""
    offsets = torch.rand(number, generator=random, device=random.device)
    shares = (torch.arange(number, device=random.device) + offsets) / number
    normal: Tensor = torch.special.ndtri(shares.clamp(1e-6, 1 - 1e-6))
    return (log_mean + log_std * normal).exp()
