"""The metrics of every run: those that need no network beside the run's own."""

from dis_lightning.callbacks.calibration import Calibration
from dis_lightning.callbacks.chains import Mixing
from dis_lightning.callbacks.consistency import MeasurementDistance
from dis_lightning.callbacks.cost import CostPerImage
from dis_lightning.callbacks.diversity import Spread
from dis_lightning.callbacks.fidelity import Fidelity
from dis_lightning.callbacks.metric import Metric

__all__ = ["default_metrics"]


def default_metrics() -> list[Metric]:
    """The metrics that the command line adds to every run."""
    return [Fidelity(), MeasurementDistance(), Spread(), Calibration(), Mixing(), CostPerImage()]
