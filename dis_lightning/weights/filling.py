"""From a file's tensors to a network that is used as it is: every weight must be there, and none too many."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from dis_lightning.errors import InvalidValueError

__all__ = ["fill", "misfits"]

Network = TypeVar("Network", bound=nn.Module)


def fill(
    network: Network,
    weights: Mapping[str, Tensor],
    origin: object,
    description: object,
    device: torch.device | str = "cpu",
) -> Network:
    """Give a network its weights, on a device and in the precision that the network was built with.

    Build and fill networks under `torch.inference_mode(False)`: Lightning's hooks run in inference mode, and weights
    made there could never serve a gradient with respect to an image.

    Args:
        network: the network, with or without memory (the `meta` device).
        weights: its weights by name; they are used in place where device and precision are theirs.
        origin: where the weights are from, for the error.
        description: which network this is, for the error.
        device: where the network is needed.

    Returns:
        The same network, frozen and in evaluation mode.

    Raises:
        ValueError: if a weight is missing, is not known or has another shape, it names the first of each; or if one is
            no number, or of a kind that is not meant, such as the integers of a quantised network.
    """
    expected = network.state_dict()
    _compare(weights, expected, origin, description)
    _check_values({key: weights[key] for key, tensor in expected.items() if tensor.is_floating_point()}, origin)
    moved = {key: weights[key].to(device, tensor.dtype) for key, tensor in expected.items()}
    network.load_state_dict(moved, assign=True)
    return network.requires_grad_(False).eval()


def misfits(missing: Sequence[str], strange: Sequence[str], other: Sequence[str]) -> str:
    """Weights that do not fit a network, for an error: how many of each kind, and the first three.

    Args:
        missing: those that the network needs and that did not come.
        strange: those that came and that the network does not know.
        other: those of another shape.
    """
    kinds = ((missing, "weights are missing"), (strange, "are not known"), (other, "differ in shape"))
    return "; ".join(
        f"{len(keys)} {what} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})" for keys, what in kinds if keys
    )


def _compare(
    weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], origin: object, description: object
) -> None:
    missing = [key for key in expected if key not in weights]
    strange = [key for key in weights if key not in expected]
    other = [
        f"{key} {tuple(weights[key].shape)} instead of {tuple(tensor.shape)}"
        for key, tensor in expected.items()
        if key in weights and weights[key].shape != tensor.shape
    ]
    if missing or strange or other:
        raise InvalidValueError(
            f"{origin} holds another network than {description}, which has {len(expected)} weights; "
            f"{len(weights)} came: {misfits(missing, strange, other)}."
        )


def _check_values(weights: Mapping[str, Tensor], origin: object) -> None:
    for key, tensor in weights.items():
        if not tensor.is_floating_point():
            raise InvalidValueError(f"{origin} holds {key} as {tensor.dtype}, but floating-point weights are needed.")
        if tensor.isnan().any():
            raise InvalidValueError(f"{origin} holds values in {key} that are no numbers (NaN); get or save it again.")
