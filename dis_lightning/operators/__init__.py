"""Measurements of images: what was done to the clean image, and how far an image is from what was measured."""

from dis_lightning.operators.average_pool import AveragePool
from dis_lightning.operators.base import GaussianOperator, LabelOperator, LinearOperator, Operator, TextOperator
from dis_lightning.operators.bicubic import BicubicDownsample
from dis_lightning.operators.blur import GaussianBlur
from dis_lightning.operators.caption import Caption
from dis_lightning.operators.classification import Classification
from dis_lightning.operators.classifiers import Classifier, TimmClassifier, TorchvisionClassifier
from dis_lightning.operators.clip_text import CLIPText
from dis_lightning.operators.colorization import Colorization
from dis_lightning.operators.deepinv import DeepInvLinearPhysics, DeepInvPhysics
from dis_lightning.operators.hdr import HDR
from dis_lightning.operators.inpainting import BoxInpainting, Inpainting, RandomInpainting
from dis_lightning.operators.jpeg import JPEG
from dis_lightning.operators.mask_inpainting import MaskInpainting
from dis_lightning.operators.matrix import MatrixOperator
from dis_lightning.operators.motion import MotionBlur
from dis_lightning.operators.networks import MobileNetC1, ResNetPPM
from dis_lightning.operators.nonlinear_blur import NonlinearBlur
from dis_lightning.operators.phase_retrieval import PhaseRetrieval
from dis_lightning.operators.room_layout import RoomLayout
from dis_lightning.operators.segmentation import Segmentation
from dis_lightning.operators.separable import SeparableOperator

__all__ = [
    "HDR",
    "JPEG",
    "AveragePool",
    "BicubicDownsample",
    "BoxInpainting",
    "CLIPText",
    "Caption",
    "Classification",
    "Classifier",
    "Colorization",
    "DeepInvLinearPhysics",
    "DeepInvPhysics",
    "GaussianBlur",
    "GaussianOperator",
    "Inpainting",
    "LabelOperator",
    "LinearOperator",
    "MaskInpainting",
    "MatrixOperator",
    "MobileNetC1",
    "MotionBlur",
    "NonlinearBlur",
    "Operator",
    "PhaseRetrieval",
    "RandomInpainting",
    "ResNetPPM",
    "RoomLayout",
    "Segmentation",
    "SeparableOperator",
    "TextOperator",
    "TimmClassifier",
    "TorchvisionClassifier",
]
