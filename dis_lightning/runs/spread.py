"""Mean and standard deviation of the samples of an image, pixel by pixel, as the grid and the report page show them.

Over the S samples that did not diverge, in grey levels of 0..255:

    mean = 1/S sum_s x_s,    std^2 = 1/(S - 1) sum_s (x_s - mean)^2, averaged over the colours.

The root of the mean of `std^2` over all pixels is the metric `pixel_std` of the image.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dis_lightning.runs.ledger import Ledger
from dis_lightning.runs.pictures import read_pixels

__all__ = ["PixelSpread", "spread"]


class PixelSpread(NamedTuple):
    """Mean and standard deviation, in grey levels."""

    mean: npt.NDArray[np.float64]
    """`(C, H, W)`."""
    std: npt.NDArray[np.float64]
    """`(H, W)`."""


def spread(folder: Ledger, record: dict[str, Any]) -> PixelSpread | None:
    """Read the samples of an image; None where fewer than two did not diverge.

    Args:
        folder: the run folder.
        record: the image's record.
    """
    index, lost = record["index"], record["diverged"]
    kept = [read_pixels(folder.sample(index, sample)) for sample, diverged in enumerate(lost) if not diverged]
    if len(kept) < 2:
        return None
    samples = np.stack(kept).astype(np.float64)
    return PixelSpread(samples.mean(axis=0), np.sqrt(samples.var(axis=0, ddof=1).mean(axis=0)))
