"""The configuration of a U-Net in the diffusers library (`UNet2DModel`), and the arguments of `UNet` it stands for."""

from collections.abc import Mapping
from itertools import compress
from typing import Any

from dis_lightning.errors import InvalidValueError
from dis_lightning.priors.networks.sizes import level_heights

__all__ = ["arguments_from", "config_from"]

# What `UNet` cannot vary. A field that is absent has this value too, but for those in _NEEDED.
_FIXED: dict[str, Any] = {
    "_class_name": "UNet2DModel",
    "act_fn": "silu",
    "add_attention": True,
    "center_input_sample": False,
    "class_embed_type": None,
    "downsample_type": "resnet",
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "mid_block_scale_factor": 1,
    "mid_block_type": "UNetMidBlock2D",
    "norm_eps": 1e-5,
    "norm_num_groups": 32,
    "num_train_timesteps": None,
    "time_embedding_dim": None,
    "time_embedding_type": "positional",
    "upsample_type": "resnet",
}
_NEEDED = {
    "block_out_channels",
    "down_block_types",
    "downsample_type",
    "layers_per_block",
    "sample_size",
    "up_block_types",
    "upsample_type",
}
_OPTIONAL: dict[str, Any] = {
    "attention_head_dim": 8,
    "attn_norm_num_groups": None,
    "in_channels": 3,
    "num_class_embeds": None,
    "out_channels": 3,
    "resnet_time_scale_shift": "default",
}
_IGNORED = {"_diffusers_version", "_name_or_path", "downsample_padding", "dropout"}
_SCALE_SHIFT = {"default": False, "scale_shift": True}
# What `UNet` can vary, and networks in this format do not.
_OURS: dict[str, Any] = {
    "channel_mult_emb": 4,
    "min_channels_per_group": 1,
    "norm_eps": 1e-5,
    "time_input": "250 ln sigma",
    "sigma_data": 0.5,
}
_DOWN = {False: "ResnetDownsampleBlock2D", True: "AttnDownBlock2D"}
_UP = {False: "ResnetUpsampleBlock2D", True: "AttnUpBlock2D"}


def arguments_from(config: Mapping[str, Any]) -> dict[str, Any]:
    """Read the arguments of `UNet` from a diffusers configuration.

    Raises:
        ValueError: if a field is not known, a needed one is missing, or `UNet` cannot be what the configuration says.
    """
    _check_fields(config)
    known = {**_OPTIONAL, **config}
    widths = known["block_out_channels"]
    attends = [kind == _DOWN[True] for kind in known["down_block_types"]]
    _check_values(known, widths, attends)
    levels = {"image_size": known["sample_size"], "channel_mult": [width // widths[0] for width in widths]}
    return {
        **levels,
        "model_channels": widths[0],
        "num_res_blocks": known["layers_per_block"],
        "attention_resolutions": list(compress(level_heights(levels), attends)),
        "num_head_channels": known["attention_head_dim"],
        "use_scale_shift_norm": _SCALE_SHIFT[known["resnet_time_scale_shift"]],
        "resblock_updown": True,
        "num_classes": known["num_class_embeds"],
        "in_channels": known["in_channels"],
        "out_channels": known["out_channels"],
        **_OURS,
    }


def config_from(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Write the diffusers configuration of a `UNet` with the given `arguments` (all of `UNet.arguments`).

    Raises:
        ValueError: if diffusers has no such network.
    """
    multiples = arguments["channel_mult"]
    if other := {name: arguments[name] for name, value in _OURS.items() if arguments.get(name, value) != value}:
        raise InvalidValueError(f"The format of diffusers has no such network, but this one has {other}.")
    if not isinstance(arguments["num_head_channels"], int):
        raise InvalidValueError("The format of diffusers needs one num_head_channels for all levels.")
    if multiples[0] != 1:
        raise InvalidValueError(
            f"The format of diffusers needs channel_mult to start with 1, but this network has {multiples}."
        )
    attends = [height in arguments["attention_resolutions"] for height in level_heights(arguments)]
    return {
        **_FIXED,
        "sample_size": arguments["image_size"],
        "in_channels": arguments["in_channels"],
        "out_channels": arguments["out_channels"],
        "layers_per_block": arguments["num_res_blocks"],
        "block_out_channels": [multiple * arguments["model_channels"] for multiple in multiples],
        "down_block_types": [_DOWN[attend] for attend in attends],
        "up_block_types": [_UP[attend] for attend in reversed(attends)],
        "attention_head_dim": arguments["num_head_channels"],
        "attn_norm_num_groups": 32,
        "resnet_time_scale_shift": "scale_shift" if arguments["use_scale_shift_norm"] else "default",
        "num_class_embeds": arguments["num_classes"],
    }


def _check_fields(config: Mapping[str, Any]) -> None:
    unknown = set(config) - _FIXED.keys() - _NEEDED - _OPTIONAL.keys() - _IGNORED
    if unknown:
        raise InvalidValueError(
            f"The diffusers configuration has fields that are not known here: {sorted(unknown)}. "
            "They may change the network; remove them if they do not."
        )
    if missing := _NEEDED - config.keys():
        raise InvalidValueError(f"The diffusers configuration lacks {sorted(missing)}.")
    wrong = [
        f"{field} must be {value!r}, but is {config[field]!r}"
        for field, value in _FIXED.items()
        if config.get(field, value) != value
    ]
    if wrong:
        raise InvalidValueError(f"The diffusers configuration describes another kind of network: {'; '.join(wrong)}.")


def _check_values(known: Mapping[str, Any], widths: list[int], attends: list[bool]) -> None:
    wrong = []
    if any(width % widths[0] for width in widths):
        wrong.append("block_out_channels must be multiples of the first")
    if not isinstance(known["attention_head_dim"], int):
        wrong.append("attention_head_dim must be a number")
    if known["resnet_time_scale_shift"] not in _SCALE_SHIFT:
        wrong.append(f"resnet_time_scale_shift must be one of {list(_SCALE_SHIFT)}")
    # Without it, diffusers normalises the attention of the middle block only where there is no scale and shift.
    groups = {"default": (None, 32), "scale_shift": (32,)}.get(known["resnet_time_scale_shift"], ())
    if known["attn_norm_num_groups"] not in groups:
        wrong.append("attn_norm_num_groups must be 32: the published networks normalise before all attention")
    if list(known["down_block_types"]) != [_DOWN[attend] for attend in attends]:
        wrong.append(f"down_block_types must be among {list(_DOWN.values())}")
    if list(known["up_block_types"]) != [_UP[attend] for attend in reversed(attends)]:
        wrong.append("up_block_types must mirror down_block_types")
    if wrong:
        raise InvalidValueError(
            f"The diffusers configuration does not fit UNet: {'; '.join(wrong)}. It is {dict(known)}."
        )
