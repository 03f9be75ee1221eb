"""ResNet-50 with dilated convolutions and pyramid pooling on top: the larger network of Zhou et al. 2018.

He et al., "Deep Residual Learning for Image Recognition", 2015, with three convolutions in place of the first; the
strides of the last two stages are given up for dilation, so that the features are at an eighth of the size. On top,
Zhao et al., "Pyramid Scene Parsing Network", 2017: the features beside their means over 1, 4, 9 and 36 fields.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import Bottleneck, conv1x1, resnet50
from torchvision.ops import FrozenBatchNorm2d

from dis_lightning.images.resizing import pooled
from dis_lightning.operators.networks.published import PublishedNetwork
from dis_lightning.operators.networks.segmentation import SegmentationNetwork, conv_bn
from dis_lightning.weights import Precision

__all__ = ["ResNetPPM"]

FIELDS = (1, 2, 3, 6)


class ResNetPPM(SegmentationNetwork):
    """The network that judges in Xu et al. 2024 (their model B); arguments as in `SegmentationNetwork`."""

    def __init__(
        self,
        encoder: str = "ade20k_resnet50_ppm_encoder",
        decoder: str = "ade20k_resnet50_ppm_decoder",
        dtype: Precision = torch.float32,
    ) -> None:
        super().__init__(encoder, decoder, dtype)

    @staticmethod
    def build_encoder() -> PublishedNetwork:
        """See `SegmentationNetwork`."""
        return _ResNet50Dilated()

    @staticmethod
    def build_decoder() -> PublishedNetwork:
        """See `SegmentationNetwork`."""
        return _PPM()


class _ResNet50Dilated(PublishedNetwork):
    # The classifier of ImageNet, should a file have it.
    UNUSED: ClassVar[tuple[str, ...]] = ("fc.",)

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_bn(3, 64, 3, stride=2)
        self.conv2, self.bn2 = conv_bn(64, 64, 3)
        self.conv3, self.bn3 = conv_bn(64, 128, 3)
        stages = resnet50(norm_layer=FrozenBatchNorm2d, replace_stride_with_dilation=[False, True, True])
        wider = nn.Sequential(conv1x1(128, 256), FrozenBatchNorm2d(256))
        # The first stage gets 128 channels from the three convolutions instead of 64 from one.
        stages.layer1[0] = Bottleneck(128, 64, downsample=wider, norm_layer=FrozenBatchNorm2d)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages.layer1, stages.layer2, stages.layer3, stages.layer4

    def forward(self, x: Tensor) -> Tensor:
        for convolution, norm in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = F.relu(norm(convolution(x)))
        x = F.max_pool2d(x, 3, 2, 1)
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return features


class _Means(nn.Module):
    """Of square fields; see `pooled`."""

    def __init__(self, fields: int) -> None:
        super().__init__()
        self.fields = fields

    def forward(self, x: Tensor) -> Tensor:
        return pooled(x, self.fields)


class _PPM(PublishedNetwork):
    """Pyramid pooling and the classes; the published file has a second head, for training alone."""

    UNUSED: ClassVar[tuple[str, ...]] = ("cbr_deepsup.", "conv_last_deepsup.")

    def __init__(self) -> None:
        super().__init__()
        self.ppm = nn.ModuleList(nn.Sequential(_Means(fields), *conv_bn(2048, 512, 1), nn.ReLU()) for fields in FIELDS)
        self.conv_last = nn.Sequential(*conv_bn(4096, 512, 3), nn.ReLU(), nn.Dropout2d(0.1), nn.Conv2d(512, 150, 1))

    def forward(self, features: Tensor) -> Tensor:
        means = [F.interpolate(pool(features), features.shape[-2:], mode="bilinear") for pool in self.ppm]
        logits: Tensor = self.conv_last(torch.cat([features, *means], dim=1))
        return logits
