"""Networks that metrics look at images with, and the cards of their weights."""

from dis_lightning.metrics.networks.base import FeatureNetwork
from dis_lightning.metrics.networks.clip import CLIPFeatures
from dis_lightning.metrics.networks.inception import InceptionFeatures
from dis_lightning.metrics.networks.lpips import PerceptualDistance
from dis_lightning.metrics.networks.resnet import ResNetFeatures

__all__ = ["CLIPFeatures", "FeatureNetwork", "InceptionFeatures", "PerceptualDistance", "ResNetFeatures"]
