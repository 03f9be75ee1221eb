"""A network that is known by name, and read when it is needed."""

from collections.abc import Callable
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Any

import torch

from dis_lightning.priors.checkpoints import find, load_network
from dis_lightning.priors.unet import UNet
from dis_lightning.weights import LazyNetwork

__all__ = ["PretrainedUNet"]


class PretrainedUNet(LazyNetwork[UNet]):
    """A `UNet` that is read on first use; called as it is.

    Args:
        source: where the weights are; see `load_network`.
        dtype: precision of the torso.

    Attributes:
        shape: shape of one image, known before the weights are read.
        num_classes: number of classes, likewise, or None.
        kind: what the place of the weights says that they were trained to give, likewise; None if it does not.

    Raises:
        FileNotFoundError: if nothing is known under that name.
    """

    def __init__(self, source: str | Path, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(partial(load_network, source, dtype=dtype), source)
        self._changes: list[Callable[[UNet], object]] = []
        origin = find(source)
        with torch.device("meta"):
            plan = UNet(**origin.arguments())
        self.shape = plan.shape
        self.num_classes = plan.num_classes
        self.kind = origin.kind()

    def load(self, device: torch.device | str | None = None) -> UNet:
        """See `LazyNetwork.load`."""
        network = super().load(device)
        while self._changes:
            self._changes.pop(0)(network)
        return network

    def prepare(self, change: Callable[[UNet], object]) -> None:
        """Change the network in place: now, or as soon as it is read."""
        self._changes.append(change)
        if self.network is not None:
            self.load()

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the network in place, now or as soon as it is read; arguments as in `torch.compile`."""
        self.prepare(methodcaller("compile", *args, **kwargs))
