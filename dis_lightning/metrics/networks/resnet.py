"""Features of ResNet-50, trained on ImageNet.

Images are resized to 224 x 224, bilinearly with antialiasing, and normalised as in training; the features are the 2048
pooled ones before the last layer. He et al., "Deep Residual Learning for Image Recognition", 2016.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet50

from dis_lightning.metrics.networks.base import StoredFeatures
from dis_lightning.weights import fill, read_tensors

__all__ = ["ResNetFeatures"]

SIZE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ResNetFeatures(StoredFeatures):
    """The 2048 pooled features of ResNet-50; see the module.

    Args:
        weights: a file, or a card of `dis_lightning/metrics/networks/cards.yaml`.
    """

    name: ClassVar[str] = "resnet50"

    def __init__(self, weights: str = "resnet50-0676ba61") -> None:
        super().__init__(weights)

    def build(self, file: Path) -> nn.Module:
        """See `StoredFeatures.build`."""
        network: nn.Module = fill(resnet50(weights=None), read_tensors(file), file, "ResNet-50")
        network.fc = nn.Identity()
        return network

    def features(self, images: Tensor) -> Tensor:
        """See `FeatureNetwork.features`."""
        pictures = F.interpolate(images.float() / 255, (SIZE, SIZE), mode="bilinear", antialias=True)
        mean, std = (pictures.new_tensor(values)[:, None, None] for values in (MEAN, STD))
        vectors: Tensor = self.network((pictures - mean) / std)
        return vectors

    def define(self) -> dict[str, Any]:
        """See `FeatureNetwork.define`."""
        return {
            "network": "ResNet-50, pool of 2048, torchvision " + version("torchvision"),
            **self.hashes(),
            "resize": f"{SIZE} x {SIZE}, bilinear with antialiasing, ImageNet normalisation",
        }
