"""Metrics: what is computed on the samples of a run, one file each, under the names of the field."""

from dis_lightning.metrics.accuracy import LabelAccuracy
from dis_lightning.metrics.aligned_psnr import AlignedPSNR
from dis_lightning.metrics.base import Direction, ImageMetric, Metric, SetMetric, Value, entry
from dis_lightning.metrics.calibration import Calibration
from dis_lightning.metrics.chains import ChainDiagnostics
from dis_lightning.metrics.clip_score import CLIPScore
from dis_lightning.metrics.cost import CostPerImage
from dis_lightning.metrics.defaults import default_metrics
from dis_lightning.metrics.diversity import DiversityScore, FeatureSimilarity, PairwiseLPIPS, PixelStd
from dis_lightning.metrics.energy_score import EnergyScore
from dis_lightning.metrics.fid import FID
from dis_lightning.metrics.kid import KID
from dis_lightning.metrics.ksd import KernelSteinDiscrepancy
from dis_lightning.metrics.lpips import LPIPS
from dis_lightning.metrics.measurement import MeasurementDistance, MeasurementMSE
from dis_lightning.metrics.miou import MeanIoU, SetMeanIoU
from dis_lightning.metrics.networks import CLIPFeatures, FeatureNetwork, InceptionFeatures, ResNetFeatures
from dis_lightning.metrics.psnr_ssim import PSNR, SSIM
from dis_lightning.metrics.references import ImageFolder, OwnSources, Reference, Statistics

__all__ = [
    "FID",
    "KID",
    "LPIPS",
    "PSNR",
    "SSIM",
    "AlignedPSNR",
    "CLIPFeatures",
    "CLIPScore",
    "Calibration",
    "ChainDiagnostics",
    "CostPerImage",
    "Direction",
    "DiversityScore",
    "EnergyScore",
    "FeatureNetwork",
    "FeatureSimilarity",
    "ImageFolder",
    "ImageMetric",
    "InceptionFeatures",
    "KernelSteinDiscrepancy",
    "LabelAccuracy",
    "MeanIoU",
    "MeasurementDistance",
    "MeasurementMSE",
    "Metric",
    "OwnSources",
    "PairwiseLPIPS",
    "PixelStd",
    "Reference",
    "ResNetFeatures",
    "SetMeanIoU",
    "SetMetric",
    "Statistics",
    "Value",
    "default_metrics",
    "entry",
]
