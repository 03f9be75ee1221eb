"""LPIPS: how different two images look.

    d(x, y) = sum_l mean_(h, w) w_l . (f_l(x) - f_l(y))^2

with the features `f_l` of layer `l` of an ImageNet network, of unit length over the channels, and weights `w_l` that
were fitted to people's judgements. Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual
Metric", 2018; their package `lpips`, version 0.1 of the weights.
"""

import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dis_lightning.digests import weights_hashes
from dis_lightning.errors import InvalidValueError
from dis_lightning.metrics.networks.base import CHUNK
from dis_lightning.weights import LazyNetwork, fetch, file_cards, fill, read_tensors

__all__ = ["PerceptualDistance"]

TRUNKS = {"alex": "alexnet-owt-7be5be79", "vgg": "vgg16-397923af"}
"""Cards of the trunks' weights; the fitted ones come with the package."""

SMALLEST = {"alex": 31, "vgg": 16}
"""Of smaller images no pixel is left in the last layer."""


class PerceptualDistance:
    """LPIPS; see the module.

    Args:
        network: the trunk.
        weights: file of the trunk's weights, or a card of `dis_lightning/metrics/networks/cards.yaml`; by default
            torchvision's.
    """

    def __init__(self, network: Literal["alex", "vgg"] = "alex", weights: str | None = None) -> None:
        self.network = network
        self.weights = weights or TRUNKS[network]
        self._model = LazyNetwork(self._read, self.weights)
        self._file = Path()

    def check(self, shape: Sequence[int]) -> None:
        """Refuse images that are too small for the network.

        Args:
            shape: shape of the images, `(..., H, W)`.

        Raises:
            ValueError: if a side is below 31 pixels, or 16 for VGG.
        """
        height, width = shape[-2:]
        if min(height, width) < (smallest := SMALLEST[self.network]):
            raise InvalidValueError(
                f"LPIPS needs images of {smallest} pixels or more a side, but got {height} x {width}; take it out of "
                "the callbacks."
            )

    def load(self, device: torch.device | str = "cpu") -> None:
        """Read the network, once.

        Raises:
            ConnectionError: if the trunk's file is not here and cannot be downloaded; it says what to put where.
            ValueError: if the file is damaged or holds another network.
        """
        self._model.load(device)

    @torch.no_grad()
    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """Distances of images `(N, 3, H, W)` in [-1, 1] to targets of the same shape, `(N,)`.

        Raises:
            ValueError: if the images are too small for the network.
        """
        self.check(images.shape)
        if images.shape[1] == 1:  # grey
            images, targets = images.expand(-1, 3, -1, -1), targets.expand(-1, 3, -1, -1)
        pairs = zip(images.split(CHUNK), targets.split(CHUNK), strict=True)
        return torch.cat([self._model(one, other).reshape(-1) for one, other in pairs])

    def define(self) -> dict[str, Any]:
        """What the distance depends on."""
        return {
            "network": f"LPIPS v0.1 ({self.network}), lpips " + version("lpips"),
            **weights_hashes(self._model.load(), self._file),
            "resize": "none",
        }

    def _read(self) -> nn.Module:
        self._file = file = fetch(self.weights, file_cards("dis_lightning.metrics.networks"))
        import lpips  # slow to import, for those who ask

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # lpips 0.1.4 asks torchvision in an old way
            model: nn.Module = lpips.LPIPS(net=self.network, pnet_rand=True, verbose=False)
        trunk: Any = model.net
        tensors = {key: value for key, value in read_tensors(file).items() if key.startswith("features.")}
        # lpips cuts the trunk into slices, and keeps the layers' numbers.
        names = {f"features.{key.partition('.')[2]}": key for key in trunk.state_dict()}
        fill(trunk, {names.get(key, key): value for key, value in tensors.items()}, file, self.network)
        return model
