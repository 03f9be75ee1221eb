"""Room layout: `y` is the surface of the empty room behind every pixel (Xu et al. 2024, section 4)."""

from pathlib import Path

import torch
from torch import Tensor, nn

from dis_lightning.operators.base import LabelOperator
from dis_lightning.operators.networks.planar_layout import PlanarLayout, read_layout
from dis_lightning.operators.networks.published import published
from dis_lightning.weights import Precision, as_dtype

__all__ = ["RoomLayout"]

SURFACES = ("frontal wall", "left wall", "right wall", "floor", "ceiling")


class RoomLayout(LabelOperator):
    """Walls, floor and ceiling by the network of Lin et al. 2018, for which sides must be multiples of 64.

    Args:
        network: any network from images in [-1, 1] to logits of the five surfaces; or a file, or the name of a card, to
            read the published `PlanarLayout` from on first use.
        dtype: precision of a network that is read; one that is given keeps its own.

    Raises:
        FileNotFoundError: if `network` names neither a file nor a card.
        ValueError: when measuring, if the network cannot take images of that size.
    """

    def __init__(
        self,
        # With `Path` among the types, a file named on the command line is not opened there, as a configuration.
        network: nn.Module | str | Path = "room_layout_lin2018",
        dtype: Precision = torch.float32,
    ) -> None:
        super().__init__(SURFACES)
        self.network = published(network, PlanarLayout, dtype, read_layout)
        self.dtype = as_dtype(dtype)

    def accept(self, shape: tuple[int, ...]) -> None:
        """See `Operator.accept`."""
        if self.network.network is None:
            PlanarLayout.check(torch.empty(1, *shape))

    def forward(self, x_0: Tensor) -> Tensor:
        """Logits `(B, 5, H, W)` of images `(B, 3, H, W)` in [-1, 1]."""
        self.accept(tuple(x_0.shape[1:]))
        logits: Tensor = self.network(x_0)
        return logits
