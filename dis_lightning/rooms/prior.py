"""A prior of rooms in closed form: the Gaussian with the mean and the covariance of many rooms."""

import sys

import numpy as np
import torch

from dis_lightning.errors import InvalidValueError, require_numbers
from dis_lightning.images import dequantise
from dis_lightning.priors.exact.gaussian import GaussianConsistencyMap, GaussianPrior
from dis_lightning.progress import counted
from dis_lightning.rooms.world import render_room

__all__ = ["rooms_gaussian", "rooms_gaussian_consistency"]

LONG = 40
"""Above this size the fit takes longer than anybody waits without a word."""


def rooms_gaussian(size: int = 32, num_images: int = 4000, split: str = "train", seed: int = 0) -> GaussianPrior:
    """Fit a Gaussian to rooms.

    It knows colours, perspective and where things tend to be, but its samples are soft: edges that move from room to
    room are no Gaussian matter. Takes seconds at 32 pixels; at 64, minutes, and the covariance alone needs 1 GB.

    Args:
        size: side of the images in pixels.
        num_images: number of rooms, >= 2.
        split: which rooms; not those that are to be reconstructed.
        seed: which world.

    Raises:
        ValueError: if there are fewer than two rooms.
    """
    require_numbers("rooms_gaussian", size=size, num_images=num_images, seed=seed)
    if num_images < 2:
        raise InvalidValueError(f"A covariance needs two rooms or more, but got num_images={num_images}.")
    indices = counted(range(num_images), "Rendering rooms")
    rooms = np.stack([render_room(split, index, size, seed).image for index in indices])
    pixels = dequantise(torch.from_numpy(rooms)).permute(0, 3, 1, 2).flatten(1)
    if size > LONG:
        print(f"Decomposing the covariance of {3 * size**2:,} values: minutes", file=sys.stderr, flush=True)
    return GaussianPrior(pixels.mean(dim=0).reshape(3, size, size), torch.cov(pixels.T.double()))


def rooms_gaussian_consistency(
    size: int = 32, num_images: int = 4000, split: str = "train", seed: int = 0
) -> GaussianConsistencyMap:
    """The consistency map of `rooms_gaussian`, in closed form; arguments and errors as there."""
    return rooms_gaussian(size, num_images, split, seed).consistency_map()
