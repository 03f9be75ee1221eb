"""Published networks, from a card or a file to a network that is used as it is."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from dis_lightning.errors import InvalidValueError
from dis_lightning.weights import (
    FileCard,
    LazyNetwork,
    Precision,
    as_dtype,
    check_source,
    fetch,
    file_cards,
    fill,
    read_tensors,
)

__all__ = ["PublishedNetwork", "cards", "check_sides", "published", "read_network"]

COUNTERS = ("num_batches_tracked", "_tmp_running_mean", "_tmp_running_var", "_running_iter")
"""What batch normalisation counts while it is trained, alone or synchronised: no weights."""


class PublishedNetwork(nn.Module):
    """A network with the weights, and the names of weights, of a published file.

    Attributes:
        UNUSED: how the names of those weights begin that the file has for training alone.
    """

    UNUSED: ClassVar[tuple[str, ...]] = ()

    @property
    def dtype(self) -> torch.dtype:
        """Precision that the network works in."""
        return next(self.parameters()).dtype


Network = TypeVar("Network", bound=PublishedNetwork)
Read = Callable[[Path], Mapping[str, Tensor]]


def cards() -> dict[str, FileCard]:
    """The cards of all published networks that operators measure with, by name."""
    return file_cards("dis_lightning.operators")


def check_sides(network: type[PublishedNetwork], x: Tensor, multiple: int) -> None:
    """Check that a network can take images of the size of `x`, `(B, 3, H, W)`.

    Raises:
        ValueError: if the sides are no multiples of what the network needs.
    """
    height, width = x.shape[-2:]
    if height % multiple or width % multiple or not height * width:
        raise InvalidValueError(
            f"{network.__name__} needs images whose sides are multiples of {multiple}, but got {height} x {width}; "
            f"resize the data, for example by --data.transform.size={multiple} (RoomsData: --data.size={multiple})."
        )


def published(
    network: nn.Module | str | Path,
    build: Callable[[], PublishedNetwork],
    dtype: Precision = torch.float32,
    read: Read = read_tensors,
) -> LazyNetwork[Any]:
    """A network that is given, or that is read from its published file when it is needed.

    Args:
        network: the network; or a file, or the name of a card.
        build: builds a network that is read.
        dtype: precision that a network that is read works in.
        read: reads such a file.

    Raises:
        FileNotFoundError: if it names neither a file nor a card.
    """
    if not isinstance(network, str | Path):
        return LazyNetwork(network)
    check_source(network, cards())
    return LazyNetwork(partial(read_network, build, network, as_dtype(dtype), read=read), network)


@torch.inference_mode(False)  # weights made in inference mode could never serve a gradient with respect to an image
def read_network(
    build: Callable[[], Network],
    source: str | Path,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    read: Read = read_tensors,
) -> Network:
    """Build a network and fill it from its published file.

    Args:
        build: builds the network.
        source: a file, or the name of a card, whose file is downloaded if need be.
        dtype: precision that the network works in.
        device: where it is needed.
        read: reads such a file.

    Returns:
        The network, frozen and in evaluation mode.

    Raises:
        FileNotFoundError: if the source is neither a file nor the name of a card.
        ConnectionError: if the file is not here and cannot be downloaded.
        ValueError: if the file is damaged or holds another network.
    """
    path = fetch(source, cards())
    with torch.device("meta"):
        network = build().to(dtype)
    weights = {
        key: tensor
        for key, tensor in read(path).items()
        if not key.startswith(network.UNUSED) and not key.endswith(COUNTERS)
    }
    return fill(network, weights, path, type(network).__name__, device)
