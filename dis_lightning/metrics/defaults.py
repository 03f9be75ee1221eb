"""The metrics of every run: those that need no network beside the run's own."""

from dis_lightning.metrics.base import Metric
from dis_lightning.metrics.calibration import Calibration
from dis_lightning.metrics.chains import ChainDiagnostics
from dis_lightning.metrics.cost import CostPerImage
from dis_lightning.metrics.diversity import PixelStd
from dis_lightning.metrics.energy_score import EnergyScore
from dis_lightning.metrics.measurement import MeasurementDistance
from dis_lightning.metrics.psnr_ssim import PSNR, SSIM

__all__ = ["default_metrics"]


def default_metrics() -> list[Metric]:
    """The metrics that the command line adds to every run; without the truth, some of them have nothing to say."""
    metrics: list[Metric] = [
        PSNR(),
        SSIM(),
        MeasurementDistance(),
        EnergyScore(),
        PixelStd(),
        Calibration(),
        ChainDiagnostics(),
        CostPerImage(),
    ]
    for metric in metrics:
        metric.implied = True
    return metrics
