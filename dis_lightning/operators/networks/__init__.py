"""Published networks that operators measure with, under the names that their weights were published with."""

from dis_lightning.operators.networks.kernel_wizard import KernelWizard
from dis_lightning.operators.networks.mobilenet_c1 import MobileNetC1
from dis_lightning.operators.networks.planar_layout import PlanarLayout
from dis_lightning.operators.networks.resnet_ppm import ResNetPPM
from dis_lightning.operators.networks.segmentation import SegmentationNetwork

__all__ = ["KernelWizard", "MobileNetC1", "PlanarLayout", "ResNetPPM", "SegmentationNetwork"]
