"""Measures of samples that torchmetrics lacks, and the networks that they look at images with."""

from dis_lightning.metrics.alignment import aligned
from dis_lightning.metrics.chains import AcceptanceMeter, ChainDiagnostics, diagnose
from dis_lightning.metrics.clip import CLIPFeatures
from dis_lightning.metrics.coverage import coverage, coverage_levels
from dis_lightning.metrics.diversity import diversity_score, mean_cosine
from dis_lightning.metrics.features import FeatureNetwork
from dis_lightning.metrics.frechet import Gaussian, fit_gaussian, frechet_distance, known_gaussian
from dis_lightning.metrics.inception import InceptionFeatures
from dis_lightning.metrics.kernel import KernelDistance, kernel_distance
from dis_lightning.metrics.overlap import confusion, mean_iou
from dis_lightning.metrics.perceptual import PerceptualDistance
from dis_lightning.metrics.references import ImageFolder, OwnSources, Reference, Statistics
from dis_lightning.metrics.resnet import ResNetFeatures

__all__ = [
    "AcceptanceMeter",
    "CLIPFeatures",
    "ChainDiagnostics",
    "FeatureNetwork",
    "Gaussian",
    "ImageFolder",
    "InceptionFeatures",
    "KernelDistance",
    "OwnSources",
    "PerceptualDistance",
    "Reference",
    "ResNetFeatures",
    "Statistics",
    "aligned",
    "confusion",
    "coverage",
    "coverage_levels",
    "diagnose",
    "diversity_score",
    "fit_gaussian",
    "frechet_distance",
    "kernel_distance",
    "known_gaussian",
    "mean_cosine",
    "mean_iou",
]
