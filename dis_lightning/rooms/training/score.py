"""How good a prior of rooms is: the Fréchet distance between its samples and held-out rooms.

It is that of `metrics.functional.frechet`, in the features of a reader of rooms, the ones it tells the class from.
"""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from dis_lightning.errors import InvalidValueError
from dis_lightning.files import expanded
from dis_lightning.images import dequantise, quantise
from dis_lightning.metrics.functional import frechet
from dis_lightning.noise import NoiseSource
from dis_lightning.progress import counted
from dis_lightning.rooms.readers import Reader
from dis_lightning.rooms.trained import rooms_reader_a
from dis_lightning.rooms.training.album import album
from dis_lightning.solvers.base import Solver

__all__ = ["contact_sheet", "frechet_distance", "score"]

COLUMNS = 10


def score(solver: Solver, num_images: int = 5000, batch_size: int = 100, grid: Path | None = None) -> None:
    """Print the Fréchet distance of a solver's samples to as many held-out rooms, and that of rooms to rooms.

    Args:
        solver: what draws the samples; it is given nothing to go by, so `Unguided` is meant.
        num_images: number of samples, and of rooms; at least twice the number of features.
        batch_size: samples drawn at once.
        grid: where to write a picture of the first 100 samples, if anywhere.

    Raises:
        ValueError: if there are too few images to compare.
    """
    reader = rooms_reader_a()
    batches = torch.arange(num_images).split(batch_size)
    samples = torch.cat([_drawn(solver, indices) for indices in counted(batches, "Drawing samples, by batches")])
    rooms = torch.from_numpy(album("test", 2 * num_images, solver.denoiser.shape[-1]).images.copy())
    held_out, others = (_features(reader, half) for half in rooms.split(num_images))
    if grid is not None:
        contact_sheet(samples[: COLUMNS**2]).save(expanded(grid))
    print(f"{num_images} samples to rooms  {frechet_distance(_features(reader, samples), held_out):.3f}")
    print(f"{num_images} rooms to rooms    {frechet_distance(others, held_out):.3f}")


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """The squared Fréchet distance between Gaussians fitted to two sets of features.

    Args:
        first: features, `(N, D)`, N >= 2 D.
        second: features, `(M, D)`, M >= 2 D.

    Returns:
        The distance, >= 0.

    Raises:
        ValueError: if there are too few features for a covariance.
    """
    if min(len(first), len(second)) < 2 * first.shape[1]:
        raise InvalidValueError(
            f"A covariance of {first.shape[1]} features needs {2 * first.shape[1]} images or more on both sides, "
            f"but got {len(first)} and {len(second)}: raise num_images."
        )
    return frechet.frechet_distance(frechet.fit_gaussian(first), frechet.fit_gaussian(second))


def contact_sheet(pictures: Tensor, columns: int = COLUMNS, enlarged: int = 3) -> Image.Image:
    """8-bit pictures, `(N, 3, H, W)`, side by side, each pixel enlarged; a last row that is not full is left out."""
    rows = pictures[: len(pictures) // columns * columns].unflatten(0, (-1, columns))
    sheet = rows.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)  # (rows, H, columns, W, 3) to (H, W, 3)
    return Image.fromarray(sheet.repeat_interleave(enlarged, 0).repeat_interleave(enlarged, 1).numpy())


def _drawn(solver: Solver, indices: Tensor) -> Tensor:
    nothing = torch.zeros(len(indices))
    return quantise(solver.solve(nothing, NoiseSource(solver.seed, indices))[:, 0])


@torch.no_grad()
def _features(reader: Reader, pictures: Tensor) -> Tensor:
    return torch.cat([reader.features(dequantise(batch)) for batch in pictures.split(500)])
