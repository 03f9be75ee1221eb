"""The weights of a U-Net under the names of the diffusers library (`UNet2DModel`).

The published names count blocks in the order of evaluation; diffusers counts levels `i`, and layers `j` within a level:

    input_blocks.n.0   ->  down_blocks.i.resnets.j       input_blocks.n.1   ->  down_blocks.i.attentions.j
    output_blocks.n.0  ->  up_blocks.i.resnets.j         output_blocks.n.1  ->  up_blocks.i.attentions.j

The block that resamples is `downsamplers.0` or `upsamplers.0` of its level. Attention has one 1 x 1 convolution
[Q | K | V] in the published files and three matrices in diffusers.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dis_lightning.files import expanded, write_atomically
from dis_lightning.priors.checkpoints.diffusers_config import config_from
from dis_lightning.priors.networks.sizes import level_heights
from dis_lightning.priors.networks.unet import UNet
from dis_lightning.weights import write_tensors

__all__ = ["CONFIG", "WEIGHTS", "from_diffusers", "save_diffusers", "to_diffusers"]

CONFIG = "config.json"
"""File name of the configuration."""
WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
"""File names that the weights may have, the preferred one first."""

_TOP = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb": "class_embedding",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
_RESIDUAL = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_ATTENTION = {"norm": "group_norm", "qkv": "qkv", "proj_out": "to_out.0"}
_QKV = ("to_q", "to_k", "to_v")


def to_diffusers(state: Mapping[str, Tensor], arguments: Mapping[str, Any]) -> dict[str, Tensor]:
    """Rename the published weights of a `UNet` with the given `arguments` to those of diffusers."""
    names = _names(arguments)
    renamed = {}
    for key, tensor in state.items():
        module, _, kind = key.rpartition(".")
        name = names[module]
        if module.endswith(".qkv"):
            for part, third in zip(_QKV, tensor.chunk(3), strict=True):
                renamed[name.replace("qkv", part) + f".{kind}"] = _matrix(third)
        else:
            renamed[f"{name}.{kind}"] = _matrix(tensor) if module.endswith(".proj_out") else tensor
    return renamed


def from_diffusers(state: Mapping[str, Tensor], arguments: Mapping[str, Any]) -> dict[str, Tensor]:
    """Rename weights of diffusers to the published names; keys that are not known keep theirs."""
    left = dict(state)
    renamed = {}
    for module, name in _names(arguments).items():
        for kind in ("weight", "bias"):
            parts = (
                [f"{name.replace('qkv', part)}.{kind}" for part in _QKV] if name.endswith("qkv") else [f"{name}.{kind}"]
            )
            if not left.keys() >= set(parts):
                continue
            tensors = [left.pop(part) for part in parts]
            tensor = tensors[0] if len(tensors) == 1 else torch.cat(tensors)
            attention = name.endswith(("qkv", "to_out.0")) and kind == "weight"
            renamed[f"{module}.{kind}"] = tensor[:, :, None, None] if attention else tensor
    return renamed | left


def save_diffusers(network: UNet, folder: str | Path) -> None:
    """Write a network as diffusers would: `config.json` and a safetensors file, in float32.

    Raises:
        ValueError: if diffusers has no such network.
    """
    config = config_from(network.arguments)
    folder = expanded(folder)
    state = to_diffusers(network.state_dict(), network.arguments)
    write_tensors({key: tensor.float() for key, tensor in state.items()}, folder / WEIGHTS[0])
    write_atomically(folder / CONFIG, (json.dumps(config, indent=2) + "\n").encode())


def _matrix(weight: Tensor) -> Tensor:
    # A 1 x 1 convolution as a matrix; a bias stays as it is.
    return weight.reshape(weight.shape[:2])


def _names(arguments: Mapping[str, Any]) -> dict[str, str]:
    """The name in diffusers of each published layer; `qkv` stands for the three matrices."""
    names = dict(_TOP)
    for block, name in _blocks(arguments):
        layers = _ATTENTION if "attentions" in name else _RESIDUAL
        names |= {f"{block}.{layer}": f"{name}.{other}" for layer, other in layers.items()}
    return names


def _blocks(arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    depth, levels = arguments["num_res_blocks"], len(arguments["channel_mult"])
    attends = [height in arguments["attention_resolutions"] for height in level_heights(arguments)]

    n = 1
    for level in range(levels):
        for j in range(depth):
            yield f"input_blocks.{n}.0", f"down_blocks.{level}.resnets.{j}"
            if attends[level]:
                yield f"input_blocks.{n}.1", f"down_blocks.{level}.attentions.{j}"
            n += 1
        if level + 1 < levels:
            yield f"input_blocks.{n}.0", f"down_blocks.{level}.downsamplers.0"
            n += 1

    yield "middle_block.0", "mid_block.resnets.0"
    yield "middle_block.1", "mid_block.attentions.0"
    yield "middle_block.2", "mid_block.resnets.1"

    for i, level in enumerate(reversed(range(levels))):
        for j in range(depth + 1):
            n = i * (depth + 1) + j
            yield f"output_blocks.{n}.0", f"up_blocks.{i}.resnets.{j}"
            if attends[level]:
                yield f"output_blocks.{n}.1", f"up_blocks.{i}.attentions.{j}"
        if level > 0:
            yield f"output_blocks.{n}.{1 + attends[level]}", f"up_blocks.{i}.upsamplers.0"
