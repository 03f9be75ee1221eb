"""A network that is read when it is needed: by everything that has weights, priors, operators and judges alike."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor, nn

__all__ = ["LazyNetwork", "load_networks"]

Network = TypeVar("Network", bound=nn.Module)


class LazyNetwork(nn.Module, Generic[Network]):
    """A network that is read once, on first use or when `load` is called, and then used as it is.

    It has no weights before. Whoever builds a run can so name networks without reading any, and every missing or
    damaged file is found before the first image is sampled.

    Args:
        network: the network; or what reads it, on the CPU.
        source: what it is called in a description: where its weights are, or the class of a network that was given.

    Attributes:
        network: the network, frozen and in evaluation mode; None until it is read.
        source: see above.
    """

    network: Network | None

    def __init__(self, network: Network | Callable[[], Network], source: object = None) -> None:
        super().__init__()
        self.source = type(network).__name__ if source is None else str(source)
        self._read: Callable[[], Network] | None = None
        if isinstance(network, nn.Module):
            self.network = cast(Network, network.requires_grad_(False).eval())
        else:
            self.network, self._read = None, network

    # Lightning's hooks run in inference mode, and weights made there could never serve a gradient with respect to an
    # image.
    @torch.inference_mode(False)
    def load(self, device: torch.device | str | None = None) -> Network:
        """Read the network, if it is not read yet.

        Args:
            device: where it is needed; None for where it is, which is the CPU at first.

        Raises:
            UserError: if its file is not here and cannot be had, is damaged, or holds another network.
        """
        if self.network is None:
            assert self._read is not None
            self.network = self._read().requires_grad_(False).eval()
        return self.network if device is None else self.network.to(device)

    def ready(self, x: Tensor) -> Network:
        """The network, read now if it was not yet, straight to the device of `x`."""
        return self.load(x.device) if self.network is None else self.network

    def forward(self, x: Tensor, *more: Any) -> Any:
        """Evaluate the network."""
        return self.ready(x)(x, *more)

    def __repr__(self) -> str:
        # The same before and after reading: runs are told apart by what their parts are built from.
        return f"{type(self).__name__}({self.source})"


def load_networks(part: nn.Module, device: torch.device | str = "cpu") -> None:
    """Read all networks of a part that are not read yet, and move them to a device; see `LazyNetwork.load`."""
    for network in [module for module in part.modules() if isinstance(module, LazyNetwork)]:
        network.load(device)
