"""The metrics' names for people, their units, and which direction is better.

A name such as `psnr_best_of_4` is the longest known beginning, `psnr`, and what follows it. A name that begins with
nothing known stands as it is, and none of its values is called the best.
"""

from enum import Enum
from typing import NamedTuple

__all__ = ["Direction", "Metric", "describe"]


class Direction(Enum):
    """Which values of a metric are better."""

    HIGHER = 1
    LOWER = -1
    NEITHER = 0

    @property
    def arrow(self) -> str:
        """A sign for the heading of a column; empty for neither."""
        return {1: "↑", -1: "↓", 0: ""}[self.value]


class Metric(NamedTuple):
    """How a metric is shown."""

    title: str
    """Its name, with its unit in brackets."""
    direction: Direction
    """Which values are better."""


HIGHER, LOWER, NEITHER = Direction

KNOWN: dict[str, tuple[str, str, Direction]] = {
    "psnr": ("PSNR", "dB", HIGHER),
    "ssim": ("SSIM", "", HIGHER),
    "lpips": ("LPIPS", "", LOWER),
    "fid": ("FID", "", LOWER),
    "kid": ("KID", "", LOWER),
    "y_mse": ("y-MSE", "", LOWER),
    "y_miou": ("y-mIoU", "", HIGHER),
    "y_accuracy": ("y-accuracy", "", HIGHER),
    "clip_score": ("CLIP score", "", HIGHER),
    "y_clip": ("y-CLIP", "", HIGHER),
    "distance": ("distance to y", "", LOWER),
    "diversity_score": ("diversity score", "", HIGHER),
    "clip_similarity": ("CLIP similarity", "", LOWER),
    "pixel_std": ("std", "grey levels", NEITHER),
    "pairwise_lpips": ("pairwise LPIPS", "", NEITHER),
    "calibration_error": ("calibration error", "", LOWER),
    "effective_sample_size": ("effective sample size", "", HIGHER),
    "split_r_hat": ("split R-hat", "", LOWER),
    "evaluations": ("network evaluations", "", LOWER),
    "gradients": ("network gradients", "", LOWER),
    "seconds": ("time", "s", LOWER),
    "memory": ("peak memory", "GiB", LOWER),
}
"""Title, unit and direction by the beginning of a name. A spread is right or wrong, neither high nor low is better."""


def describe(name: str) -> Metric:
    """How a metric of a run is shown.

    Args:
        name: its name in `metrics.json`.
    """
    start = max((known for known in KNOWN if f"{name}_".startswith(f"{known}_")), key=len, default="")
    title, unit, direction = KNOWN.get(start, ("", "", NEITHER))
    words = [title, *name.removeprefix(start).strip("_").split("_"), f"({unit})" if unit else ""]
    return Metric(" ".join(filter(None, words)), direction)
