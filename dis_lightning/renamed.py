"""Names that nobody knows: what those of earlier versions are called now, and what others may have meant."""

import difflib
from collections.abc import Callable, Iterable
from typing import NoReturn

__all__ = ["RENAMED", "elsewhere", "nearest", "told"]

_METRICS = {
    "Fidelity": "PSNR and SSIM",
    "Distribution": "FID and KID",
    "AlignedFidelity": "AlignedPSNR",
    "Mixing": "ChainDiagnostics",
    "Spread": "PixelStd",
}
_UNCHANGED = (
    *("LPIPS", "CLIPScore", "Calibration", "CostPerImage", "DiversityScore", "FeatureSimilarity", "ImageMetric"),
    *("LabelAccuracy", "MeanIoU", "MeasurementDistance", "MeasurementMSE", "Metric", "PairwiseLPIPS", "SetMeanIoU"),
    *("SetMetric", "default_metrics"),
)

RENAMED = {
    **{name: f"{now} of dis_lightning.metrics" for name, now in _METRICS.items()},
    **{f"dis_lightning.callbacks.{name}": f"{now} of dis_lightning.metrics" for name, now in _METRICS.items()},
    **{f"dis_lightning.callbacks.{name}": f"dis_lightning.metrics.{name}" for name in _UNCHANGED},
    "dis_lightning.data.RoomsData": "dis_lightning.rooms.RoomsData",
    "dis_lightning.data.RoomItem": "dis_lightning.rooms.RoomItem",
    "dis_lightning.evaluate": "dis_lightning.runs.evaluate",
    "dis_lightning.metrics.AcceptanceMeter": "dis_lightning.meters.AcceptanceMeter",
    "dis_lightning.metrics.PerceptualDistance": "dis_lightning.metrics.networks.PerceptualDistance",
    **{
        f"dis_lightning.metrics.{name}": f"dis_lightning.metrics.functional.{name}"
        for name in (
            *("aligned", "confusion", "coverage", "coverage_levels", "diagnose", "diversity_score", "fit_gaussian"),
            *("frechet_distance", "kernel_distance", "known_gaussian", "mean_cosine", "mean_iou"),
        )
    },
}
"""What is called otherwise now, by its full name or, where it was unique, its last part."""


def told(text: str) -> str:
    """What a text that names something by an earlier name should be told; empty where it names nothing so."""
    words = {word.strip("\"'`,;:()[]{}") for word in text.split()}
    return "\n".join(f"{old} is now {now}." for old, now in RENAMED.items() if old in words)


def nearest(word: str, words: Iterable[str], at_most: int = 1) -> str:
    """Which of some words may have been meant: `Did you mean a, b or c? `; empty where none is near.

    Args:
        word: what was written.
        words: what there is.
        at_most: how many to name, the nearest first.
    """
    by_letters = {known.lower(): known for known in words}  # upper and lower case are often mistaken
    swapped = [known for known in by_letters if sorted(known) == sorted(word.lower())]  # the commonest slip
    close = list(dict.fromkeys([*swapped, *difflib.get_close_matches(word.lower(), by_letters, at_most)]))[:at_most]
    if word.lower() in close:  # but for that it is the word itself
        close = [word.lower()]
    near = [f"`{by_letters[one]}`" for one in close]
    if not near:
        return ""
    *others, last = near
    return f"Did you mean {', '.join(others)} or {last}? " if others else f"Did you mean {last}? "


def elsewhere(module: str) -> Callable[[str], NoReturn]:
    """The `__getattr__` of a module that names have left.

    Args:
        module: its name.
    """

    def missing(name: str) -> NoReturn:
        now = RENAMED.get(f"{module}.{name}")
        hint = f"; it is now {now}" if now else ""
        raise AttributeError(f"module {module!r} has no attribute {name!r}{hint}")

    return missing
