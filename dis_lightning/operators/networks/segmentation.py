"""What the published networks for semantic segmentation have in common.

Zhou et al., "Semantic Understanding of Scenes Through the ADE20K Dataset", 2018: an encoder at an eighth of the size
and a decoder, published as two files.

    logits = upsample(D(E((u - mean) / std))),    u = (x_0 + 1) / 2

with the mean and standard deviation of ImageNet, and bilinear upsampling to the size of the image.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import FrozenBatchNorm2d

from dis_lightning.described import Described
from dis_lightning.operators.networks.published import PublishedNetwork, published
from dis_lightning.operators.published_input import IMAGENET_MEAN, IMAGENET_STD, prepared
from dis_lightning.weights import Precision, as_dtype

__all__ = ["SegmentationNetwork", "conv_bn"]


class SegmentationNetwork(Described, nn.Module, ABC):
    """Logits over the classes of ADE20K, by a network that is read on first use.

    Args:
        encoder: the encoder's file, or the name of its card.
        decoder: the decoder's, likewise.
        dtype: precision that the network works in.

    Attributes:
        network: encoder and decoder.

    Raises:
        FileNotFoundError: if a source is neither a file nor the name of a card.
    """

    def __init__(self, encoder: str, decoder: str, dtype: Precision = torch.float32) -> None:
        super().__init__()
        self.dtype = as_dtype(dtype)
        self.network = nn.Sequential(
            published(encoder, self.build_encoder, dtype), published(decoder, self.build_decoder, dtype)
        )

    @staticmethod
    @abstractmethod
    def build_encoder() -> PublishedNetwork:
        """The encoder: normalised images `(B, 3, H, W)` to features `(B, C, H / 8, W / 8)`."""

    @staticmethod
    @abstractmethod
    def build_decoder() -> PublishedNetwork:
        """The decoder: features to logits, `(B, 150, H / 8, W / 8)`."""

    def forward(self, x_0: Tensor) -> Tensor:
        """Logits `(B, 150, H, W)` of images `(B, 3, H, W)` in [-1, 1]."""
        logits = self.network(prepared(x_0, x_0.shape[-2:], IMAGENET_MEAN, IMAGENET_STD, dtype=self.dtype))
        return F.interpolate(logits.to(x_0.dtype), x_0.shape[-2:], mode="bilinear")


def conv_bn(
    incoming: int, outgoing: int, size: int, stride: int = 1, dilation: int = 1, groups: int = 1
) -> tuple[nn.Conv2d, nn.Module]:
    """A convolution without bias that keeps the size, and its batch normalisation with fixed statistics."""
    padding = dilation * (size // 2)
    convolution = nn.Conv2d(incoming, outgoing, size, stride, padding, dilation, groups, bias=False)
    return convolution, FrozenBatchNorm2d(outgoing)
