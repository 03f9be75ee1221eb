"""A network that is known by name, and read when it is needed."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dis_lightning.priors.checkpoints import find, load_network
from dis_lightning.priors.unet import UNet

__all__ = ["PretrainedUNet"]


class PretrainedUNet(nn.Module):
    """A `UNet` whose weights are read on first use, straight to the device of the images.

    Args:
        source: where the weights are; see `load_network`.
        dtype: precision of the torso.

    Attributes:
        shape: shape of one image, known before the weights are read.
        num_classes: number of classes, likewise, or None.
        unet: the network, frozen and in evaluation mode; None until it is read.

    Raises:
        FileNotFoundError: if nothing is known under that name.
    """

    def __init__(self, source: str | Path, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        with torch.device("meta"):
            plan = UNet(**find(source).arguments())
        self.source = source
        self.dtype = dtype
        self.shape = plan.shape
        self.num_classes = plan.num_classes
        self.unet: UNet | None = None

    def load(self, device: torch.device | str = "cpu") -> UNet:
        """Read the weights, once; see `load_network` for what can go wrong."""
        if self.unet is None:
            self.unet = load_network(self.source, dtype=self.dtype, device=device)
        return self.unet

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the network in place, which is read for that if it was not; arguments as in `torch.compile`."""
        self.load().compile(*args, **kwargs)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Evaluate the network; see `UNet`."""
        output: Tensor = self.load(x.device)(x, t, y)
        return output
