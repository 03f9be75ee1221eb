"""A network that is known by name, and read when it is needed."""

from functools import partial
from pathlib import Path
from typing import Any

import torch

from dis_lightning.priors.checkpoints import build, find, load_network
from dis_lightning.priors.network import RawNetwork
from dis_lightning.weights import LazyNetwork

__all__ = ["PretrainedUNet"]


class PretrainedUNet(LazyNetwork[RawNetwork]):
    """A U-Net that is read on first use; called as it is.

    Args:
        source: where the weights are; see `load_network`.
        dtype: precision of the torso.

    Attributes:
        shape: shape of one image, known before the weights are read.
        num_classes: number of classes, likewise, or None.
        time_input: what it takes for the noise level, likewise.
        sigma_data: standard deviation of the data that it was trained with, likewise.
        kind: what the place of the weights says that they were trained to give, likewise; None if it does not.

    Raises:
        FileNotFoundError: if nothing is known under that name.
    """

    def __init__(self, source: str | Path, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(partial(load_network, source, dtype=dtype), source)
        origin = find(source)
        plan = build(origin.arguments())
        self.shape = plan.shape
        self.num_classes = plan.num_classes
        self.time_input = plan.time_input
        self.sigma_data = plan.sigma_data
        self.kind = origin.kind()

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the network in place, which is read for that if it was not; arguments as in `torch.compile`."""
        self.load().compile(*args, **kwargs)
