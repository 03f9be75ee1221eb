"""The mathematics of the metrics that torchmetrics lacks, or is slow at: pure functions of tensors."""

from dis_lightning.metrics.functional.alignment import aligned
from dis_lightning.metrics.functional.chains import Diagnosis, diagnose
from dis_lightning.metrics.functional.coverage import coverage, coverage_levels
from dis_lightning.metrics.functional.diversity import diversity_score, mean_cosine
from dis_lightning.metrics.functional.energy import energy_score
from dis_lightning.metrics.functional.frechet import Gaussian, fit_gaussian, frechet_distance, known_gaussian
from dis_lightning.metrics.functional.kernel import KernelDistance, kernel_distance
from dis_lightning.metrics.functional.overlap import confusion, mean_iou
from dis_lightning.metrics.functional.stein import stein_discrepancy
from dis_lightning.metrics.functional.structural_similarity import structural_similarity

__all__ = [
    "Diagnosis",
    "Gaussian",
    "KernelDistance",
    "aligned",
    "confusion",
    "coverage",
    "coverage_levels",
    "diagnose",
    "diversity_score",
    "energy_score",
    "fit_gaussian",
    "frechet_distance",
    "kernel_distance",
    "known_gaussian",
    "mean_cosine",
    "mean_iou",
    "stein_discrepancy",
    "structural_similarity",
]
