"""MobileNetV2 with dilated convolutions and one convolution on top: the smaller network of Zhou et al. 2018.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, table 2, without its last convolution.
The strides of the stages of 64 and 160 channels are given up for dilation, so that the features are at an eighth of
the size:

    features 7 .. 13   dilation 2;  the first of them, once strided, 1
    features 14 .. 17  dilation 4;  the first of them, once strided, 2
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from dis_lightning.operators.networks.published import PublishedNetwork
from dis_lightning.operators.networks.segmentation import SegmentationNetwork, conv_bn
from dis_lightning.weights import Precision

__all__ = ["MobileNetC1"]

STAGES = (
    (1, 16, 1, 1, 1, 1),
    (6, 24, 2, 2, 1, 1),
    (6, 32, 3, 2, 1, 1),
    (6, 64, 4, 1, 1, 2),
    (6, 96, 3, 1, 2, 2),
    (6, 160, 3, 1, 2, 4),
    (6, 320, 1, 1, 4, 4),
)
"""Of each stage: expansion, channels, blocks; stride and dilation of the first block, dilation of the others."""


class MobileNetC1(SegmentationNetwork):
    """The network that guides in Xu et al. 2024 (their model A); arguments as in `SegmentationNetwork`."""

    def __init__(
        self,
        encoder: str = "ade20k_mobilenetv2_c1_encoder",
        decoder: str = "ade20k_mobilenetv2_c1_decoder",
        dtype: Precision = torch.float32,
    ) -> None:
        super().__init__(encoder, decoder, dtype)

    @staticmethod
    def build_encoder() -> PublishedNetwork:
        """See `SegmentationNetwork`."""
        return _MobileNetV2Dilated()

    @staticmethod
    def build_decoder() -> PublishedNetwork:
        """See `SegmentationNetwork`."""
        return _C1()


class _MobileNetV2Dilated(PublishedNetwork):
    def __init__(self) -> None:
        super().__init__()
        features: list[nn.Module] = [nn.Sequential(*conv_bn(3, 32, 3, stride=2), nn.ReLU6())]
        incoming = 32
        for expansion, channels, blocks, stride, first, others in STAGES:
            for block in range(blocks):
                shape = (stride, first) if block == 0 else (1, others)
                # The first block of every stage changes the number of channels; none can be residual.
                features.append(_InvertedResidual(incoming, channels, expansion, *shape, residual=block > 0))
                incoming = channels
        self.features = nn.Sequential(*features)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.features(x)
        return features


class _InvertedResidual(nn.Module):
    """Wider by a 1 x 1 convolution, a 3 x 3 convolution in each channel, narrow again by a 1 x 1 convolution."""

    def __init__(
        self, incoming: int, outgoing: int, expansion: int, stride: int, dilation: int, residual: bool
    ) -> None:
        super().__init__()
        wide = expansion * incoming
        widen = [] if expansion == 1 else [*conv_bn(incoming, wide, 1), nn.ReLU6()]
        self.conv = nn.Sequential(
            *widen,
            *(*conv_bn(wide, wide, 3, stride, dilation, groups=wide), nn.ReLU6()),
            *conv_bn(wide, outgoing, 1),
        )
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.conv(x)
        return x + h if self.residual else h


class _C1(PublishedNetwork):
    """A convolution and the classes; the published file has a second head, for training alone."""

    UNUSED: ClassVar[tuple[str, ...]] = ("cbr_deepsup.", "conv_last_deepsup.")

    def __init__(self) -> None:
        super().__init__()
        self.cbr = nn.Sequential(*conv_bn(320, 80, 3), nn.ReLU())
        self.conv_last = nn.Conv2d(80, 150, 1)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.conv_last(self.cbr(features))
        return logits
