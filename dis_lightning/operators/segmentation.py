"""Semantic segmentation: `y` is the most likely of 150 classes at every pixel (Xu et al. 2024, section 4)."""

from importlib import resources

import yaml
from torch import Tensor

from dis_lightning.operators.base import LabelOperator
from dis_lightning.operators.networks.mobilenet_c1 import MobileNetC1
from dis_lightning.operators.networks.segmentation import SegmentationNetwork

__all__ = ["Segmentation"]


class Segmentation(LabelOperator):
    """The classes of ADE20K at every pixel, by a published network.

    Args:
        network: which network, and where its files are; None for `MobileNetC1`, which guides in Xu et al. 2024.
        softmax_twice: whether the distance is the cross-entropy of the probabilities, as if they were logits, as in the
            authors' code. It lies between `log(149 + e) - 1 = 4.02` and `log(149 + e) = 5.02` then, and its gradient is
            small: to that their scale of 256 is tuned.
    """

    def __init__(self, network: SegmentationNetwork | None = None, softmax_twice: bool = False) -> None:
        super().__init__(ade20k_classes())
        self.network = MobileNetC1() if network is None else network
        self.softmax_twice = softmax_twice

    def forward(self, x_0: Tensor) -> Tensor:
        """Logits, `(B, 150, H, W)`, of images `(B, 3, H, W)` in [-1, 1]."""
        logits: Tensor = self.network(x_0)
        return logits


def ade20k_classes() -> list[str]:
    """Names of the 150 classes, in the order of the networks' outputs."""
    text = (resources.files(__package__) / "ade20k.yaml").read_text(encoding="utf-8")
    names: list[str] = yaml.safe_load(text)
    return names
