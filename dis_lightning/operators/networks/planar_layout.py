"""The surfaces of a room by ResNet-101: Lin et al., "Indoor Scene Layout Estimation from a Single Image", 2018.

Features of three sizes, each with scores of 37 planes, are added up on the way back to the size of the image:

    e_5 = 1/16,  e_6 = 1/32,  e_7 = maxpool(e_6) = 1/64
    d_6 = up_2(clf_1(ReLU(BN(conv(e_7)))))
    d_5 = up_2(clf_2(e_6) + d_6)
    scores = conv(up_16(clf_3(e_5) + d_5))          over frontal, left, right wall, floor, ceiling

In the published checkpoint the weights have names that begin with "model.".
"""

from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet101
from torchvision.ops import FrozenBatchNorm2d

from dis_lightning.errors import InvalidValueError
from dis_lightning.operators.networks.published import PublishedNetwork, check_sides
from dis_lightning.weights import read_checkpoint, read_tensors

__all__ = ["PlanarLayout", "read_layout"]

PREFIX = "model."
MULTIPLE = 64


class PlanarLayout(PublishedNetwork):
    """Which surface of the empty room is behind each pixel."""

    # The classifier of ImageNet.
    UNUSED: ClassVar[tuple[str, ...]] = ("resnet.fc.",)

    def __init__(self) -> None:
        super().__init__()
        self.resnet = resnet101(norm_layer=FrozenBatchNorm2d)
        self.resnet.fc = nn.Identity()
        self.planar_seg = _PlanarHead()

    @staticmethod
    def check(x: Tensor) -> None:
        """Check the size of images `(B, 3, H, W)`.

        Raises:
            ValueError: if their sides are no multiples of 64: the three sizes would not meet.
        """
        check_sides(PlanarLayout, x, MULTIPLE)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(B, 5, H, W)` of images `(B, 3, H, W)` in [-1, 1].

        Raises:
            ValueError: if the images have a size that `check` refuses.
        """
        self.check(x)
        net = self.resnet
        h = net.maxpool(net.relu(net.bn1(net.conv1(x.to(self.dtype)))))
        e_5 = net.layer3(net.layer2(net.layer1(h)))
        scores: Tensor = self.planar_seg(e_5, net.layer4(e_5))
        return scores.to(x.dtype)


class _PlanarHead(nn.Module):
    def __init__(self, planes: int = 37, surfaces: int = 5) -> None:
        super().__init__()
        self.fc_conv = nn.Conv2d(2048, 2048, 1, bias=False)
        self.bn = FrozenBatchNorm2d(2048)
        self.clf1 = nn.Conv2d(2048, planes, 1, bias=False)
        self.clf2 = nn.Conv2d(2048, planes, 1, bias=False)
        self.clf3 = nn.Conv2d(1024, planes, 1, bias=False)
        self.dec1 = nn.ConvTranspose2d(planes, planes, 4, 2, 1, bias=False)
        self.dec2 = nn.ConvTranspose2d(planes, planes, 4, 2, 1, bias=False)
        self.dec3 = nn.ConvTranspose2d(planes, planes, 32, 16, 8, bias=False)
        self.fc_stage2 = nn.Conv2d(planes, surfaces, 1, bias=False)

    def forward(self, e_5: Tensor, e_6: Tensor) -> Tensor:
        e_7 = F.max_pool2d(e_6, 3, 2, 1)
        d_6 = self.dec1(self.clf1(F.relu(self.bn(self.fc_conv(e_7)))))
        d_5 = self.dec2(self.clf2(e_6) + d_6)
        scores: Tensor = self.fc_stage2(self.dec3(self.clf3(e_5) + d_5))
        return scores


def read_layout(path: Path) -> dict[str, Tensor]:
    """Read the weights of a `PlanarLayout`: from its published checkpoint, or from a safetensors file of these weights.

    Raises:
        ValueError: if the file is damaged or of another kind, or no name begins with "model.".
    """
    weights = read_tensors(path) if path.suffix == ".safetensors" else read_checkpoint(path)
    # The checkpoint may hold what the loss needs beside the network.
    found = {key.removeprefix(PREFIX): tensor for key, tensor in weights.items() if key.startswith(PREFIX)}
    if not found:
        raise InvalidValueError(
            f"{path} must name the weights of PlanarLayout as the published checkpoint does, {PREFIX!r} before each, "
            f"but none of its {len(weights)} begins so ({', '.join(list(weights)[:3])}): rename them, or get that file."
        )
    return found
