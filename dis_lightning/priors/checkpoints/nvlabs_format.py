"""Network pickles of NVlabs' EDM repository, and the networks of ours that they hold.

Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022. A pickle is a dictionary whose
entry `ema` is an `EDMPrecond` around a `DhariwalUNet`, which is our `UNet`, or a `SongUNet`, which is ours of that
name. What these were built with, and with it every name and shape, is read from what was saved of them; other entries
and the source code in the file are passed over. Blocks are named after sizes there, and counted here:

    enc.SIZE_conv, _block, _down    ->  input_blocks                dec.SIZE_in0, _in1   ->  middle_block
    enc.SIZE_aux_*                  ->  input_images                dec.SIZE_block       ->  output_blocks
    norm0 conv0 affine norm1 conv1 skip                             ->  a ResBlock
    norm2 qkv proj                                                  ->  the AttentionBlock after it

The rows of `qkv` are `(head, channel, [q, k, v])` there, and `([q, k, v], head, channel)` here. `map_augment`, which
is not used without augmentation, is dropped, and so are the resampling filters, once they are seen to be as expected.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError
from dis_lightning.weights import SavedObject, read_objects

__all__ = ["NVlabsFile"]

ENTRY = "ema"
"""The weights that are taken: averaged over training, the only ones in the published files."""

_KNOWN: dict[str, Any] = {
    "img_resolution": None,
    "in_channels": None,
    "out_channels": None,
    "label_dim": 0,
    "augment_dim": 0,
    "model_channels": 192,
    "channel_mult": [1, 2, 3, 4],
    "channel_mult_emb": 4,
    "num_blocks": 3,
    "attn_resolutions": [32, 16, 8],
    "dropout": 0.1,
    "label_dropout": 0,
}
"""The arguments of `DhariwalUNet`, which begin as those of `SongUNet` do."""

_RESIDUAL = {
    "norm0": "in_layers.0",
    "conv0": "in_layers.2",
    "affine": "emb_layers.1",
    "norm1": "out_layers.0",
    "conv1": "out_layers.3",
    "skip": "skip_connection",
}
_ATTENTION = {"norm2": "norm", "qkv": "qkv", "proj": "proj_out"}


Returned = TypeVar("Returned")


def refused(method: "Callable[[NVlabsFile], Returned]") -> "Callable[[NVlabsFile], Returned]":
    """Have a method refuse a network that lacks what NVlabs' have, or has it in another form."""

    @functools.wraps(method)
    def refusing(file: "NVlabsFile") -> Returned:
        try:
            return method(file)
        except InvalidValueError:
            raise
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise file._other(f"{type(error).__name__}: {error}") from error

    return refusing


@dataclass(frozen=True)
class NVlabsFile(ABC):
    """A pickle, looked into; what it holds is checked when it is asked for.

    Attributes:
        path: the file.
        model: the raw network.
        sigma_data: standard deviation of the data that it was trained with.
    """

    path: Path
    model: SavedObject
    sigma_data: float
    known: ClassVar[dict[str, Any]]
    """The arguments of NVlabs' class in their order, and their defaults."""

    @staticmethod
    def read(path: Path, *, tensors: bool = True) -> "NVlabsFile":
        """Read a file.

        Args:
            path: the file.
            tensors: whether its weights are wanted.

        Raises:
            OSError: if the file may not be read.
            ValueError: if it is damaged, asks for what no network needs, or holds another kind of network.
        """
        content = read_objects(path, tensors=tensors)
        outer = content.get(ENTRY) if isinstance(content, dict) else None
        if not isinstance(outer, SavedObject):
            came = f"the entries {', '.join(map(str, content))}" if isinstance(content, dict) else "no entries"
            raise InvalidValueError(
                f"{path} must hold a network under {ENTRY!r}, as NVlabs' pickles do, but has {came}."
            )
        if outer.kind != "EDMPrecond":
            raise InvalidValueError(
                f"The network in {path} is a {outer.kind}; what is read here is an EDMPrecond, as in edm-*.pkl: "
                "NVlabs' baselines (VPPrecond, VEPrecond, iDDPMPrecond) and EDM2 (Precond) are scaled in other ways."
            )
        model = outer.children.get("model")
        kinds = {"DhariwalUNet": DhariwalFile, "SongUNet": SongFile}
        if model is None or model.kind not in kinds:
            came = "nothing" if model is None else f"a {model.kind}"
            raise InvalidValueError(
                f"The network in {path} holds {came}; what is read here is a {' or a '.join(kinds)}."
            )
        sigma_data = outer.attributes.get("sigma_data")
        if not isinstance(sigma_data, float | int):
            raise InvalidValueError(f"The network in {path} does not say its sigma_data as a number: {sigma_data!r}.")
        return kinds[model.kind](path, model, float(sigma_data))

    @refused
    def arguments(self) -> dict[str, Any]:
        """The arguments of our network, as `build` takes them.

        Raises:
            ValueError: if the network is none that ours can be.
        """
        saved = self._saved()
        self._check(saved)
        sizes = [saved["img_resolution"] >> level for level in range(len(saved["channel_mult"]))]
        return {
            "image_size": saved["img_resolution"],
            "model_channels": saved["model_channels"],
            "num_res_blocks": saved["num_blocks"],
            "attention_resolutions": [size for size in sizes if size in saved["attn_resolutions"]],
            "channel_mult": list(saved["channel_mult"]),
            "channel_mult_emb": saved["channel_mult_emb"],
            "num_classes": saved["label_dim"] or None,
            "in_channels": saved["in_channels"],
            "out_channels": saved["out_channels"],
            "norm_eps": float(self._only("eps", self._all("eps", "GroupNorm"))),
            "time_input": "ln sigma / 4",
            "sigma_data": self.sigma_data,
        } | self._own_arguments(saved, sizes)

    @refused
    def weights(self) -> dict[str, Tensor]:
        """The weights under the names of our network.

        Raises:
            ValueError: if a weight has a name that such networks do not have, or a filter is not the expected one.
        """
        saved, renamed = self._saved(), {}
        names = self._names(saved)
        for part in self.model.within():
            if part.kind == "GroupNorm" and part.attributes["num_groups"] != min(
                32, len(dict(part.tensors())["bias"]) // 4
            ):
                raise self._other(f"its normalisation has {part.attributes['num_groups']} groups")
        row = torch.tensor(saved.get("resample_filter", [1, 1]), dtype=torch.float64)
        taps = torch.outer(row, row) / row.sum() ** 2
        for key, tensor in self.model.tensors():
            module, _, kind = key.rpartition(".")
            if module == "map_augment":
                continue
            if kind == "resample_filter":
                if tensor.shape[-2:] != taps.shape or not torch.allclose(tensor.double(), taps, atol=1e-3):
                    raise self._other(f"{key} is {tensor.flatten().tolist()}")
            elif module not in names:
                raise self._other(f"{key} is not known")
            elif module.endswith(".qkv"):
                heads = self._blocks()[module.removesuffix(".qkv")].attributes["num_heads"]
                renamed[f"{names[module]}.{kind}"] = tensor.unflatten(0, (heads, -1, 3)).movedim(2, 0).flatten(0, 2)
            else:
                renamed[f"{names[module]}.{'frequencies' if kind == 'freqs' else kind}"] = tensor
        return self._with_classes(renamed)

    @abstractmethod
    def _own_arguments(self, saved: Mapping[str, Any], sizes: list[int]) -> dict[str, Any]:
        """What the other network of ours has not, or has otherwise; `sizes` are those of the levels."""

    @abstractmethod
    def _names(self, saved: Mapping[str, Any]) -> dict[str, str]:
        """Our name of every layer."""

    @abstractmethod
    def _with_classes(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights with what a class adds to the embedding, once a layer that takes a class as a vector."""

    def _saved(self) -> dict[str, Any]:
        """What the network was built with."""
        positional, named = (self.model.attributes.get(name) for name in ("_init_args", "_init_kwargs"))
        if not isinstance(positional, tuple | list) or not isinstance(named, dict):
            raise self._other("it does not say what it was built with (_init_args, _init_kwargs)")
        given = dict(zip(self.known, positional, strict=False)) | named
        if strange := [name for name in given if name not in self.known]:
            raise self._other(f"it was built with {', '.join(f'{name}={given[name]!r}' for name in strange)}")
        saved = {**self.known, **given}
        if missing := [name for name, value in saved.items() if value is None]:
            raise self._other(f"it does not say its {', '.join(missing)}")
        return saved

    def _check(self, saved: Mapping[str, Any]) -> None:
        """Refuse a network that was changed after it was built, or by somebody else's code."""
        if strange := {block.kind for block in self._blocks().values()} - {"Conv2d", "GroupNorm", "UNetBlock"}:
            raise self._other(f"it has parts of kind {', '.join(sorted(strange))}")
        noise = self.model.children["map_noise"]
        positional = saved.get("embedding_type", "positional") == "positional"
        if noise.kind != ("PositionalEmbedding" if positional else "FourierEmbedding"):
            raise self._other(f"it embeds the noise level with {noise.kind}")
        expected = (10000, type(self) is SongFile) if positional else (None, None)
        if (found := (noise.attributes.get("max_positions"), noise.attributes.get("endpoint"))) != expected:
            raise self._other(f"max_positions and endpoint of its embedding are {found}")

    def _blocks(self, part: str = "") -> dict[str, SavedObject]:
        """The blocks of the encoder and the decoder, or of one, by name and in order."""
        parts = [part] if part else ["enc", "dec"]
        return {f"{part}.{name}": block for part in parts for name, block in self.model.children[part].children.items()}

    def _all(self, attribute: str, kind: str = "UNetBlock") -> set[Any]:
        return {part.attributes.get(attribute) for part in self.model.within() if part.kind == kind}

    def _only(self, attribute: str, found: set[Any]) -> Any:
        if len(found) != 1:
            raise self._other(f"its parts differ in {attribute}: {', '.join(sorted(map(str, found)))}")
        return next(iter(found))

    def _other(self, why: str) -> InvalidValueError:
        return InvalidValueError(
            f"The {self.model.kind} in {self.path} is another than NVlabs published, and cannot be read: {why}."
        )


class DhariwalFile(NVlabsFile):
    """A pickle with a `DhariwalUNet`, which is our `UNet`."""

    known = _KNOWN

    def _own_arguments(self, saved: Mapping[str, Any], sizes: list[int]) -> dict[str, Any]:
        if self._all("skip_scale") - {1} or self._all("adaptive_scale") - {True}:
            raise self._other("its blocks have another skip_scale or adaptive_scale")
        # A level has a head for each 64 channels, and below no attention, whatever was asked for.
        heads, widths = dict.fromkeys(sizes, 0), {}
        for name, block in self._blocks().items():
            size, _, what = name.partition(".")[2].partition("_")
            if what.startswith(("in0", "block")):
                place = int(size.partition("x")[0])
                heads[place] = max(heads[place], block.attributes["num_heads"])
                widths[place] = block.attributes["out_channels"]
        channels = [widths[size] // heads[size] if heads[size] else 0 for size in sizes]
        attention = [size for size in sizes if size in saved["attn_resolutions"] and heads[size]]
        used = {channels[-1], *(channels[sizes.index(size)] for size in attention)}
        return {
            "attention_resolutions": attention,
            "num_head_channels": used.pop() if len(used) == 1 and 0 not in used else channels,
            "use_scale_shift_norm": True,
            "min_channels_per_group": 4,
        }

    def _names(self, saved: Mapping[str, Any]) -> dict[str, str]:
        names = {"map_layer0": "time_embed.0", "map_layer1": "time_embed.2", "map_label": "label_emb"}
        names |= {"out_norm": "out.0", "out_conv": "out.2"}
        for n, (old, block) in enumerate(self._blocks("enc").items()):
            names |= {old: f"input_blocks.{n}.0"} | _layers(old, f"input_blocks.{n}", block)
        n, middle, last = -1, 0, 0
        for old, block in self._blocks("dec").items():
            attends = bool(block.attributes["num_heads"])
            if old.endswith(("_in0", "_in1")):
                names |= _layers(old, "middle_block", block, middle)
                middle += 1 + attends
            elif old.endswith("_up"):
                # It closes the level below, after its attention where there is one.
                names |= _layers(old, f"output_blocks.{n}", block, last)
            else:
                n, last = n + 1, 1 + attends
                names |= _layers(old, f"output_blocks.{n}", block)
        return names

    def _with_classes(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        layer = weights.pop("label_emb.weight", None)
        return weights if layer is None else {**weights, "label_emb.weight": layer.T}


class SongFile(NVlabsFile):
    """A pickle with a `SongUNet`."""

    known = _KNOWN | {
        "model_channels": 128,
        "channel_mult": [1, 2, 2, 2],
        "num_blocks": 4,
        "attn_resolutions": [16],
        "embedding_type": "positional",
        "channel_mult_noise": 1,
        "encoder_type": "standard",
        "decoder_type": "standard",
        "resample_filter": [1, 1],
    }

    def _own_arguments(self, saved: Mapping[str, Any], sizes: list[int]) -> dict[str, Any]:
        return {
            "network": "SongUNet",
            "channel_mult_noise": saved["channel_mult_noise"],
            "embedding_type": saved["embedding_type"],
            "encoder_type": saved["encoder_type"],
            "decoder_type": saved["decoder_type"],
            "resample_filter": list(saved["resample_filter"]),
            "num_heads": self._only("num_heads", self._all("num_heads") - {0}),
            "adaptive_scale": bool(self._only("adaptive_scale", self._all("adaptive_scale"))),
            "skip_scale": float(self._only("skip_scale", self._all("skip_scale"))),
        }

    def _names(self, saved: Mapping[str, Any]) -> dict[str, str]:
        names = {"map_noise": "embedding", "map_layer0": "time_embed.0", "map_layer1": "time_embed.2"}
        names |= {"map_label": "label_emb"}
        levels = len(saved["channel_mult"])
        level = {f"{saved['img_resolution'] >> n}": n for n in range(levels)}
        for old, block in self._blocks("enc").items():
            size, _, what = old.removeprefix("enc.").partition("_")
            place = level[size.partition("x")[0]]
            if what.startswith("aux"):
                names[old] = f"input_images.{place - 1}.conv"
            elif what == "conv":
                names[old] = "input_blocks.0.0.0"
            else:
                n = 0 if what == "down" else 1 + int(what.removeprefix("block"))
                names |= _layers(old, f"input_blocks.{place}.{n}", block)
        heads = 0
        for old, block in self._blocks("dec").items():
            size, _, what = old.removeprefix("dec.").partition("_")
            place = levels - 1 - level[size.partition("x")[0]]
            if what == "aux_norm":
                names[old] = f"out.{heads}.0"
            elif what == "aux_conv":
                names[old] = f"out.{heads}.2"
                heads += 1
            elif what == "up":
                names |= {key: f"upsamplers.{place - 1}.{layer}" for key, layer in _residual(old).items()}
            elif what in ("in0", "in1"):
                names |= _layers(old, "middle_block", block, 0 if what == "in0" else 2)
            elif what.startswith("block"):
                names |= _layers(old, f"output_blocks.{place}.{int(what.removeprefix('block'))}", block)
        return names

    def _with_classes(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        # The layer takes a vector of length sqrt(classes).
        layer, bias = weights.pop("label_emb.weight", None), weights.pop("label_emb.bias", None)
        if layer is None or bias is None:
            return weights
        return {**weights, "label_emb.weight": layer.float().T * layer.shape[1] ** 0.5 + bias.float()}


def _layers(old: str, new: str, block: SavedObject, place: int = 0) -> dict[str, str]:
    """The layers of a block, whose residual part is at a place of ours, and its attention at the next."""
    names = {key: f"{new}.{place}.{layer}" for key, layer in _residual(old).items()}
    if block.attributes.get("num_heads"):
        names |= {f"{old}.{layer}": f"{new}.{place + 1}.{other}" for layer, other in _ATTENTION.items()}
    return names


def _residual(old: str) -> dict[str, str]:
    return {f"{old}.{layer}": other for layer, other in _RESIDUAL.items()}
