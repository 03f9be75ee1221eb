"""A network that is known by name, and read when it is needed."""

from collections.abc import Callable, Mapping
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Any

import torch

from dis_lightning.priors.checkpoints.guided_format import AttentionOrder
from dis_lightning.priors.checkpoints.loading import build, known_order, load_network
from dis_lightning.priors.checkpoints.sources import find
from dis_lightning.priors.networks.base import RawNetwork
from dis_lightning.weights import LazyNetwork

__all__ = ["PretrainedNetwork"]


class PretrainedNetwork(LazyNetwork[RawNetwork]):
    """A network that is read on first use; called as it is.

    Args:
        source: where the weights are; see `load_network`.
        dtype: precision of the torso.
        arguments: how it is built, where nothing else says it; see `load_network`.
        attention_order: the order of its attention's channels, likewise.

    Attributes:
        shape: shape of one image, known before the weights are read.
        out_channels: channels that it gives, likewise.
        num_classes: number of classes, likewise, or None.
        reduction: what height and width of images are multiples of, likewise.
        time_input: what it takes for the noise level, likewise.
        sigma_data: standard deviation of the data that it was trained with, likewise.
        kind: what the place of the weights says that they were trained to give, likewise; None if it does not.

    Raises:
        FileNotFoundError: if nothing is known under that name.
        ValueError: if the card of the weights says another `attention_order`.
    """

    def __init__(
        self,
        source: str | Path,
        dtype: torch.dtype = torch.float32,
        arguments: Mapping[str, Any] | None = None,
        attention_order: AttentionOrder | None = None,
    ) -> None:
        told = partial(load_network, arguments=arguments, attention_order=attention_order)
        super().__init__(partial(told, source, dtype=dtype), source)
        self._changes: list[Callable[[RawNetwork], object]] = []
        origin = find(source)
        known_order(source, origin, attention_order)  # refused now rather than after a download
        plan = build(arguments or origin.arguments())
        self.shape = plan.shape
        self.out_channels = plan.out_channels
        self.num_classes = plan.num_classes
        self.reduction = plan.reduction
        self.time_input = plan.time_input
        self.sigma_data = plan.sigma_data
        self.kind = origin.kind()

    def load(self, device: torch.device | str | None = None) -> RawNetwork:
        """See `LazyNetwork.load`."""
        network = super().load(device)
        while self._changes:
            self._changes.pop(0)(network)
        return network

    def prepare(self, change: Callable[[RawNetwork], object]) -> None:
        """Change the network in place: now, or as soon as it is read."""
        self._changes.append(change)
        if self.network is not None:
            self.load()

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the network in place, now or as soon as it is read; arguments as in `torch.compile`."""
        self.prepare(methodcaller("compile", *args, **kwargs))
