"""The weights of guided-diffusion's networks (Dhariwal and Nichol, 2021; DPS's FFHQ and ImageNet priors) as a `UNet`.

Names and graph are those of `UNet`. Two things differ. Convolutions of the attention have one dimension there, `(O, I,
1)`, and two here. And the rows of `qkv` have one of two orders, which no file says and both of which load:

    "new"       [Q | K | V], each with its heads one after the other: that of `UNet`
    "legacy"    head after head, each with its Q, K and V: all published networks of 256 pixels

With the wrong order a network runs, and is wrong by a tenth of its output; so the order is told, never guessed.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from torch import Tensor

from dis_lightning.errors import InvalidValueError

__all__ = ["AttentionOrder", "check_order", "from_guided", "is_guided"]

AttentionOrder = Literal["legacy", "new"]
"""How the channels of the attention are ordered in a file."""


def is_guided(weights: Mapping[str, Tensor]) -> bool:
    """Whether weights are of guided-diffusion: by the one dimension of their attention's convolutions."""
    return any(key.endswith("qkv.weight") and tensor.ndim == 3 for key, tensor in weights.items())


def check_order(order: str | None) -> None:
    """Refuse an order that does not exist.

    Raises:
        ValueError: if it is none of `AttentionOrder`.
    """
    if order not in (None, *get_args(AttentionOrder)):
        raise InvalidValueError(f"attention_order must be one of {', '.join(get_args(AttentionOrder))}, not {order!r}.")


def from_guided(
    weights: Mapping[str, Tensor], arguments: Mapping[str, Any], order: AttentionOrder, origin: object
) -> dict[str, Tensor]:
    """Bring weights into the shapes and the order of `UNet`.

    Args:
        weights: the weights of the file.
        arguments: those of `UNet`.
        order: how the file orders the channels of its attention.
        origin: where they are from, for the error.

    Raises:
        ValueError: if the channels of an attention cannot be dealt to heads of that size.
    """
    head = arguments.get("num_head_channels", 64)
    converted = {}
    for key, tensor in weights.items():
        if key.endswith((".qkv.weight", ".proj_out.weight")) and tensor.ndim == 3:
            tensor = tensor.unsqueeze(3)
        if order == "legacy" and ".qkv." in key:
            if not isinstance(head, int) or len(tensor) % (3 * head):
                raise InvalidValueError(
                    f"{origin} has an attention of {len(tensor) // 3} channels ({key}), which heads of "
                    f"{head} channels cannot share: give the num_head_channels that it was trained with."
                )
            tensor = tensor.unflatten(0, (-1, 3, head)).transpose(0, 1).flatten(0, 2)
        converted[key] = tensor
    return converted
