"""Measurements of images: what was done to the clean image, and how far an image is from what was measured."""

from dis_lightning.operators.average_pool import AveragePool
from dis_lightning.operators.base import GaussianOperator, LabelOperator, LinearOperator, Operator
from dis_lightning.operators.blur import GaussianBlur
from dis_lightning.operators.colorization import Colorization
from dis_lightning.operators.inpainting import RandomInpainting
from dis_lightning.operators.matrix import MatrixOperator

__all__ = [
    "AveragePool",
    "Colorization",
    "GaussianBlur",
    "GaussianOperator",
    "LabelOperator",
    "LinearOperator",
    "MatrixOperator",
    "Operator",
    "RandomInpainting",
]
