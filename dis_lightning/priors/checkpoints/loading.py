"""Trained networks: how they are built, read and written.

Weights are mapped into memory rather than read into it, and go from there straight to the device and the precision that
were asked for; the network itself is built without memory.
"""

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError
from dis_lightning.files import expanded
from dis_lightning.priors.checkpoints.guided_format import AttentionOrder, check_order, from_guided, is_guided
from dis_lightning.priors.checkpoints.sources import Source, find
from dis_lightning.priors.networks.base import RawNetwork
from dis_lightning.priors.networks.song_unet import SongUNet
from dis_lightning.priors.networks.unet import UNet
from dis_lightning.weights import Precision, as_dtype, fill, write_tensors

__all__ = ["agreed", "build", "known_order", "load_network", "save_network"]

Text = TypeVar("Text", bound=str)


@torch.inference_mode(False)  # weights made in inference mode could never serve a gradient with respect to an image
def load_network(
    source: str | Path,
    *,
    arguments: Mapping[str, Any] | None = None,
    attention_order: AttentionOrder | None = None,
    dtype: Precision = torch.float32,
    device: torch.device | str = "cpu",
) -> RawNetwork:
    """Read a trained network.

    Args:
        source: a file (`.pt`, `.safetensors`, NVlabs' `.pkl`), a folder in the format of diffusers, the name of a card
            (such as "edm_bedroom256_ema", downloaded if need be), or a hub id (such as
            "openai/diffusers-cd_cat256_l2"). `~` is the home folder.
        arguments: the arguments of `UNet`, or `network: SongUNet` with those of that class; None where the source
            says them: a card or a file named as one, a file written by `save_network`, a configuration of diffusers, a
            pickle.
        attention_order: how a file of guided-diffusion orders the channels of its attention, "legacy" or "new"; None
            where a card says it, and for all other files. See `guided_format`.
        dtype: precision of the torso, whatever that of the file.
        device: where the network is needed.

    Returns:
        The network, frozen and in evaluation mode.

    Raises:
        FileNotFoundError: if nothing is known under that name.
        ConnectionError: if a download fails.
        ValueError: if the file is damaged, is no plain file of tensors and no pickle of NVlabs, or holds another
            network.
    """
    origin = find(source)
    order = known_order(source, origin, attention_order)
    network = build(arguments or origin.arguments(), as_dtype(dtype))
    weights = _ordered(source, origin, network.arguments, order)
    return fill(network, weights, source, network.arguments, device)


def build(arguments: Mapping[str, Any], dtype: torch.dtype = torch.float32) -> RawNetwork:
    """Build a network without memory (on the `meta` device).

    Args:
        arguments: those of the class that is named in them as `network`: "UNet", if none is, or "SongUNet".
        dtype: precision of the torso.

    Raises:
        ValueError: if there is no such network, or the arguments do not fit it.
    """
    own = dict(arguments)
    name = own.pop("network", UNet.__name__)
    networks: dict[str, type[RawNetwork]] = {network.__name__: network for network in (UNet, SongUNet)}
    if name not in networks:
        raise InvalidValueError(f"network must be one of {', '.join(networks)}, but got {name!r}.")
    try:
        inspect.signature(networks[name]).bind(**own)
    except TypeError as error:
        raise InvalidValueError(f"The arguments {own} do not fit {name}: {error}.") from error
    with torch.device("meta"):
        return networks[name](**own, dtype=dtype)  # type: ignore[call-arg] # which classes have and their base has not


def save_network(
    network: RawNetwork,
    path: str | Path,
    kind: str | None = None,
    schedule: str | None = None,
    prediction: str | None = None,
) -> None:
    """Write a network to a safetensors file that says how it is built, so that `load_network` needs no arguments.

    Args:
        network: the network.
        path: the file to write.
        kind: what it was trained to give, where that is known ("posterior mean", "consistency map" or "prediction of
            noise"): then no prior of another kind takes the file.
        schedule: of a network for `VP`, the schedule that it was trained on, where it has a name.
        prediction: of a network for `VP`, what it predicts.
    """
    named = {} if isinstance(network, UNet) else {"network": type(network).__name__}
    known = {"kind": kind, "schedule": schedule, "prediction": prediction}
    metadata = {key: value for key, value in known.items() if value}
    metadata |= {"arguments": json.dumps(named | network.arguments)}
    write_tensors(network.state_dict(), expanded(path), metadata)


def known_order(source: str | Path, origin: Source, given: AttentionOrder | None) -> AttentionOrder | None:
    """How the channels of the attention are ordered, if it is given or a card says it; before weights are read.

    Args:
        source: what was asked for.
        origin: the place that it is.
        given: what a user says, or None.

    Raises:
        ValueError: if it is no order, or the card says the other.
    """
    check_order(given)
    card = origin.card()
    known: AttentionOrder | None = card.attention_order if card else None  # type: ignore[assignment] # one of ours
    return agreed(source, "attention_order", given, known)


def agreed(network: object, name: str, told: Text | None, known: Text | None) -> Text | None:
    """What the user says or the card or file knows, None where neither does.

    Args:
        network: where the network is, for the message.
        name: what is told and known.
        told: by the user.
        known: by the place of the network.

    Raises:
        ValueError: if they contradict each other.
    """
    if told is not None and known not in (None, told):
        raise InvalidValueError(
            f"{network} has the {name} {known}, as its card or file says, but got {told}: leave it out."
        )
    return told or known


def _ordered(
    source: str | Path, origin: Source, arguments: Mapping[str, Any], order: AttentionOrder | None
) -> dict[str, Tensor]:
    """The weights, with the channels of their attention as `UNet` has them."""
    weights = origin.weights()
    if order == "legacy" and origin.ours():
        raise InvalidValueError(
            f"{source} was written by save_network and has the order of UNet: leave attention_order."
        )
    if order is None and is_guided(weights):
        raise InvalidValueError(
            f"{source} is of guided-diffusion, in which the channels of the attention have one of two orders that no "
            'file says: give attention_order "legacy" (use_new_attention_order False, as all networks of 256 pixels '
            'have it) or "new".'
        )
    return weights if order is None else from_guided(weights, arguments, order, source)
