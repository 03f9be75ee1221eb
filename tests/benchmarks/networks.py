"""The networks that are timed, and the work that a guided step cannot do without.

    floor = FLOP(x_0 = D(x_t, sigma)) + FLOP(grad_{x_t} sum x_0)

Matrix products and convolutions are counted, a multiplication and an addition as two; the measurement is left out.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import yaml
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dis_lightning.priors import EDM, ConsistencyModel, UNet
from dis_lightning.priors.base import Denoiser
from dis_lightning.priors.checkpoints.cards import file_cards
from dis_lightning.priors.networks.computing import Compile

__all__ = ["TINY", "Floor", "NetworkName", "arguments_of", "build", "floor", "random_prior"]

NetworkName = Literal["tiny", "small", "bedroom"]

ROOMS = Path(__file__).parents[2] / "configs" / "rooms" / "edm.yaml"


TINY: dict[str, Any] = {
    "image_size": 8,
    "model_channels": 32,
    "num_res_blocks": 1,
    "attention_resolutions": [4],
    "channel_mult": [1, 1],
    "num_head_channels": 32,
    "use_scale_shift_norm": False,
}
"""To try the scripts themselves."""


class Floor(NamedTuple):
    """Floating-point operations per image."""

    forward: int
    """One evaluation of the network."""
    guided: int
    """One evaluation and its gradient with respect to the image."""


def arguments_of(name: NetworkName) -> dict[str, Any]:
    """The arguments of `UNet`: of the network trained on rooms, or of the one published for LSUN bedroom at 256 px."""
    if name == "tiny":
        return dict(TINY)
    if name == "bedroom":
        return file_cards()["edm_bedroom256_ema"].arguments
    denoiser = yaml.safe_load(ROOMS.read_text())["training"]["init_args"]["model"]
    arguments: dict[str, Any] = denoiser["init_args"]["network"]["init_args"]
    return arguments


def build(arguments: dict[str, Any], dtype: torch.dtype, device: torch.device) -> UNet:
    """A network with random weights."""
    with device:
        network = UNet(**arguments, dtype=dtype)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            # A new network has layers of zeros, on which a GPU draws less power and runs faster than on others.
            layer.reset_parameters()
    return network.requires_grad_(False).eval()


def random_prior(
    kind: Literal["EDM", "ConsistencyModel"],
    network: NetworkName,
    dtype: torch.dtype,
    clip: bool = False,
    compile: Compile | None = None,
    fused: bool = False,
) -> Denoiser:
    """A prior as a configuration names it, with random weights."""
    made = EDM if kind == "EDM" else ConsistencyModel
    return made(build(arguments_of(network), dtype, torch.device("cpu")), clip=clip, compile=compile, fused=fused)


def floor(arguments: dict[str, Any]) -> Floor:
    """Count, on the meta device, where nothing is computed."""
    with torch.device("meta"):
        denoiser = EDM(UNet(**arguments).requires_grad_(False).eval())
        x_t = torch.empty(1, *denoiser.shape, requires_grad=True)
    with FlopCounterMode(display=False) as forward:
        x_0 = denoiser(x_t, 1.0)
    with FlopCounterMode(display=False) as backward:
        torch.autograd.grad(x_0.sum(), x_t)
    return Floor(forward.get_total_flops(), forward.get_total_flops() + backward.get_total_flops())
