"""Names of earlier versions, and what they are called now, for whoever still writes them."""

from collections.abc import Callable
from typing import NoReturn

__all__ = ["RENAMED", "elsewhere", "told"]

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
