"""Weighted particles: many guesses at one image, of which the good ones are kept.

With weights `W_i`, a particle stands for as many samples as its share of their sum. Systematic resampling makes all
shares equal again: particle i is copied `floor` or `ceil` of `P W_i` times, by one uniform number per image. (Doucet
and Johansen, "A Tutorial on Particle Filtering and Smoothing", 2009, section 3.4.) Particles of different images never
meet.
"""

import torch
from torch import Tensor

from dis_lightning.noise import NoiseSource

__all__ = ["effective", "first_samples", "pick", "resample", "rows_of", "uniforms"]


def uniforms(noise: NoiseSource, particles: int) -> Tensor:
    """One uniform number for each image, `(B, 1)`, in double precision, from the stream of its first particle."""
    return noise.uniform((len(noise),), torch.float64).reshape(-1, particles)[:, :1]


def effective(log_weights: Tensor) -> Tensor:
    """Number of particles that are worth as much, `1 / sum_i W_i^2`, `(B,)`; 0 where all have diverged.

    Args:
        log_weights: logarithms of weights, `(B, P)`, up to a constant per image; -inf for particles that diverged.
    """
    shares = log_weights.double().softmax(dim=1)  # NaN where there is none
    return (1 / shares.square().sum(dim=1)).nan_to_num(0.0)


def resample(log_weights: Tensor, uniform: Tensor) -> Tensor:
    """Which particle is copied to each place, `(B, P)`; see the module.

    Args:
        log_weights: as for `effective`; particles of an image of which all diverged stay where they are.
        uniform: one number in (0, 1) for each image, `(B, 1)`.
    """
    number = log_weights.shape[1]
    places = torch.arange(number, device=log_weights.device)
    sums = log_weights.double().softmax(dim=1).cumsum(dim=1)
    chosen = torch.searchsorted(sums, ((places + uniform) / number).contiguous()).clamp(max=number - 1)
    return torch.where(sums.isnan(), places, chosen)


def pick(log_weights: Tensor, noise: NoiseSource) -> Tensor:
    """Particles that stand for the law alike, `(B, P)`, to take as many samples of as are wanted.

    They are resampled, and dealt in random order, so that the first samples are the same whatever their number.

    Args:
        log_weights: as for `effective`.
        noise: one stream per particle.
    """
    images, number = log_weights.shape
    chosen = resample(log_weights, uniforms(noise, number))
    order = noise.normal((images * number,)).reshape(images, number).argsort(dim=1)
    dealt: Tensor = chosen.gather(1, order)
    return dealt


def rows_of(chosen: Tensor) -> Tensor:
    """Rows of a loop, image by image, of particles that are chosen for each image, `(B, P)`."""
    images, number = chosen.shape
    rows: Tensor = (number * torch.arange(images, device=chosen.device)[:, None] + chosen).flatten()
    return rows


def first_samples(rows: Tensor, particles: int, num_samples: int) -> Tensor:
    """The first `num_samples` of each image's particles, `(B * num_samples, ...)`."""
    first: Tensor = rows.unflatten(0, (-1, particles))[:, :num_samples].flatten(0, 1)
    return first
