"""Callbacks: the run folder's writer, metrics of images and of sets, pictures, progress, and clean ends."""

from dis_lightning.callbacks.alignment import AlignedFidelity
from dis_lightning.callbacks.calibration import Calibration
from dis_lightning.callbacks.chains import Mixing
from dis_lightning.callbacks.clip_score import CLIPScore
from dis_lightning.callbacks.consistency import MeasurementDistance, MeasurementMSE
from dis_lightning.callbacks.cost import CostPerImage
from dis_lightning.callbacks.defaults import default_metrics
from dis_lightning.callbacks.distribution import Distribution
from dis_lightning.callbacks.diversity import DiversityScore, FeatureSimilarity, PairwiseLPIPS, Spread
from dis_lightning.callbacks.fidelity import Fidelity
from dis_lightning.callbacks.labels import LabelAccuracy, MeanIoU, SetMeanIoU
from dis_lightning.callbacks.metric import ImageMetric, Metric, SetMetric
from dis_lightning.callbacks.perceptual import LPIPS
from dis_lightning.callbacks.progress import SamplingProgress
from dis_lightning.callbacks.termination import Termination
from dis_lightning.callbacks.trajectory import Trajectory
from dis_lightning.callbacks.writer import Writer

__all__ = [
    "LPIPS",
    "AlignedFidelity",
    "CLIPScore",
    "Calibration",
    "CostPerImage",
    "Distribution",
    "DiversityScore",
    "FeatureSimilarity",
    "Fidelity",
    "ImageMetric",
    "LabelAccuracy",
    "MeanIoU",
    "MeasurementDistance",
    "MeasurementMSE",
    "Metric",
    "Mixing",
    "PairwiseLPIPS",
    "SamplingProgress",
    "SetMeanIoU",
    "SetMetric",
    "Spread",
    "Termination",
    "Trajectory",
    "Writer",
    "default_metrics",
]
