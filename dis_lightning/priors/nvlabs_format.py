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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError
from dis_lightning.weights import SavedObject, read_objects

__all__ = ["NVlabsFile"]

ENTRY = "ema"
"""The weights that are taken: averaged over training, the only ones in the published files."""

_ADM: dict[str, Any] = {
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
"""The arguments of `DhariwalUNet` in their order, and their defaults."""
_SONG: dict[str, Any] = _ADM | {
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
"""Those of `SongUNet`, likewise."""

_RESIDUAL = {
    "norm0": "in_layers.0",
    "conv0": "in_layers.2",
    "affine": "emb_layers.1",
    "norm1": "out_layers.0",
    "conv1": "out_layers.3",
    "skip": "skip_connection",
}
_ATTENTION = {"norm2": "norm", "qkv": "qkv", "proj": "proj_out"}
_BLOCKS = {"Conv2d", "GroupNorm", "UNetBlock"}


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
class NVlabsFile:
    """A pickle, looked into; what it holds is checked when it is asked for.

    Attributes:
        path: the file.
        model: the raw network.
        sigma_data: standard deviation of the data that it was trained with.
    """

    path: Path
    model: SavedObject
    sigma_data: float

    @classmethod
    def read(cls, path: Path, *, tensors: bool = True) -> "NVlabsFile":
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
        if model is None or model.kind not in ("DhariwalUNet", "SongUNet"):
            came = "nothing" if model is None else f"a {model.kind}"
            raise InvalidValueError(
                f"The network in {path} holds {came}; what is read here is a DhariwalUNet or a SongUNet."
            )
        sigma_data = outer.attributes.get("sigma_data")
        if not isinstance(sigma_data, float | int):
            raise InvalidValueError(f"The network in {path} does not say its sigma_data as a number: {sigma_data!r}.")
        return cls(path, model, float(sigma_data))

    @refused
    def arguments(self) -> dict[str, Any]:
        """The arguments of `UNet`; or of `SongUNet`, which then stands in them as `network`.

        Raises:
            ValueError: if the network is none that ours can be.
        """
        adm = self.model.kind == "DhariwalUNet"
        saved = self._saved_arguments(_ADM if adm else _SONG)
        self._check_blocks(saved, adm)
        sizes = [saved["img_resolution"] >> level for level in range(len(saved["channel_mult"]))]
        arguments = {
            "image_size": saved["img_resolution"],
            "model_channels": saved["model_channels"],
            "num_res_blocks": saved["num_blocks"],
            "attention_resolutions": [size for size in sizes if size in saved["attn_resolutions"]],
            "channel_mult": list(saved["channel_mult"]),
            "channel_mult_emb": saved["channel_mult_emb"],
            "num_classes": saved["label_dim"] or None,
            "in_channels": saved["in_channels"],
            "out_channels": saved["out_channels"],
            "norm_eps": self._eps(),
            "time_input": "ln sigma / 4",
            "sigma_data": self.sigma_data,
        }
        return arguments | (self._adm(sizes, arguments["attention_resolutions"]) if adm else self._song(saved))

    @refused
    def weights(self) -> dict[str, Tensor]:
        """The weights under the names of our network.

        Raises:
            ValueError: if a weight has a name that such networks do not have.
        """
        adm = self.model.kind == "DhariwalUNet"
        saved = self._saved_arguments(_ADM if adm else _SONG)
        names = _names_adm(self.model) if adm else _names_song(self.model, saved)
        state = dict(self.model.tensors())
        expected = _outer(saved.get("resample_filter", [1, 1]))
        renamed = {}
        for key, tensor in state.items():
            module, _, kind = key.rpartition(".")
            if module == "map_augment":
                continue
            if kind == "resample_filter":
                if tensor.shape[-2:] != expected.shape or not torch.allclose(tensor.double(), expected, atol=1e-3):
                    raise self._other(f"{key} is {tensor.flatten().tolist()}")
            elif module not in names:
                raise self._other(f"{key} is not known")
            elif module.endswith(".qkv"):
                heads = _heads(self.model, module)
                rows = tensor.unflatten(0, (heads, -1, 3)).movedim(2, 0).flatten(0, 2)
                renamed[f"{names[module]}.{kind}"] = rows
            elif module != "map_label":
                renamed[f"{names[module]}.{'frequencies' if kind == 'freqs' else kind}"] = tensor
        if saved["label_dim"] and "map_label.weight" in state:
            renamed["label_emb.weight"] = _classes(state, adm)
        return renamed

    def _saved_arguments(self, known: Mapping[str, Any]) -> dict[str, Any]:
        positional, named = (self.model.attributes.get(name) for name in ("_init_args", "_init_kwargs"))
        if not isinstance(positional, tuple | list) or not isinstance(named, dict):
            raise self._other("it does not say what it was built with (_init_args, _init_kwargs)")
        given = dict(zip(known, positional, strict=False)) | named
        if strange := [name for name in given if name not in known]:
            raise self._other(f"it was built with {', '.join(f'{name}={given[name]!r}' for name in strange)}")
        saved = {**known, **given}
        if missing := [name for name, value in saved.items() if value is None]:
            raise self._other(f"it does not say its {', '.join(missing)}")
        return saved

    def _blocks(self) -> Iterator[tuple[str, SavedObject]]:
        for part in ("enc", "dec"):
            if part in self.model.children:
                yield from self.model.children[part].children.items()

    def _check_blocks(self, saved: Mapping[str, Any], adm: bool) -> None:
        """Refuse a network that was changed after it was built, or by somebody else's code."""
        if strange := {block.kind for _, block in self._blocks()} - _BLOCKS:
            raise self._other(f"it has parts of kind {', '.join(sorted(strange))}")
        positional = adm or saved["embedding_type"] == "positional"
        noise = self.model.children["map_noise"]
        if noise.kind != ("PositionalEmbedding" if positional else "FourierEmbedding"):
            raise self._other(f"it embeds the noise level with {noise.kind}")
        expected = (10000, not adm) if positional else (None, None)
        if (found := (noise.attributes.get("max_positions"), noise.attributes.get("endpoint"))) != expected:
            raise self._other(f"max_positions and endpoint of its embedding are {found}")
        if (groups := self._all("min_channels_per_group", "GroupNorm")) - {None, 4}:
            raise self._other(f"groups of its normalisation have {groups} channels")
        if adm and (self._all("skip_scale") - {1} or self._all("adaptive_scale") - {True}):
            raise self._other("its blocks have another skip_scale or adaptive_scale")

    def _all(self, attribute: str, kind: str = "UNetBlock") -> set[Any]:
        return {part.attributes.get(attribute) for part in self.model.within() if part.kind == kind}

    def _only(self, attribute: str, kind: str = "UNetBlock", among: Iterable[Any] | None = None) -> Any:
        found = self._all(attribute, kind) if among is None else set(among)
        if len(found) != 1:
            raise self._other(f"its parts differ in {attribute}: {sorted(map(str, found))}")
        return found.pop()

    def _eps(self) -> float:
        return float(self._only("eps", "GroupNorm"))

    def _adm(self, sizes: list[int], attention: list[int]) -> dict[str, Any]:
        """What `UNet` alone has; a level has a head for each 64 channels there, and below no attention."""
        heads: dict[int, int] = {}
        widths: dict[int, int] = {}
        for name, block in self._blocks():
            if block.kind == "UNetBlock" and not name.endswith(("_down", "_up", "_in1")):
                size = int(name.partition("x")[0])
                heads[size] = max(heads.get(size, 0), block.attributes["num_heads"])
                widths[size] = block.attributes["out_channels"]
        channels = [widths[size] // heads[size] if heads[size] else 0 for size in sizes]
        each = {number for size, number in zip(sizes, channels, strict=True) if size in attention or size == sizes[-1]}
        return {
            "attention_resolutions": [size for size in attention if heads[size]],
            "num_head_channels": each.pop() if len(each) == 1 and 0 not in each else channels,
            "use_scale_shift_norm": True,
            "min_channels_per_group": 4,
        }

    def _song(self, saved: Mapping[str, Any]) -> dict[str, Any]:
        heads = (b.attributes["num_heads"] for _, b in self._blocks() if b.attributes.get("num_heads"))
        return {
            "network": "SongUNet",
            "channel_mult_noise": saved["channel_mult_noise"],
            "embedding_type": saved["embedding_type"],
            "encoder_type": saved["encoder_type"],
            "decoder_type": saved["decoder_type"],
            "resample_filter": list(saved["resample_filter"]),
            "num_heads": self._only("num_heads", among=heads),
            "adaptive_scale": bool(self._only("adaptive_scale")),
            "skip_scale": float(self._only("skip_scale")),
        }

    def _other(self, why: str) -> InvalidValueError:
        return InvalidValueError(
            f"The {self.model.kind} in {self.path} is another than NVlabs published, and cannot be read: {why}."
        )


def _names_adm(model: SavedObject) -> dict[str, str]:
    """The name in our `UNet` of every layer."""
    names = {"map_layer0": "time_embed.0", "map_layer1": "time_embed.2", "map_label": "label_emb"}
    names |= {"out_norm": "out.0", "out_conv": "out.2"}
    for n, (name, block) in enumerate(model.children["enc"].children.items()):
        names |= {f"enc.{name}": f"input_blocks.{n}.0"} | _layers(f"enc.{name}", f"input_blocks.{n}", block)
    n = -1
    middle = 0
    for name, block in model.children["dec"].children.items():
        old = f"dec.{name}"
        if name.endswith(("_in0", "_in1")):
            names |= _layers(old, "middle_block", block, middle)
            middle += 1 + bool(block.attributes["num_heads"])
        elif name.endswith("_up"):
            # It closes the level below, after its attention where there is one.
            last = [key for key in names.values() if key.startswith(f"output_blocks.{n}.1.")]
            names |= _layers(old, f"output_blocks.{n}", block, 2 if last else 1)
        else:
            n += 1
            names |= _layers(old, f"output_blocks.{n}", block)
    return names


def _names_song(model: SavedObject, saved: Mapping[str, Any]) -> dict[str, str]:
    """The name in our `SongUNet` of every layer."""
    names = {"map_noise": "embedding", "map_layer0": "time_embed.0", "map_layer1": "time_embed.2"}
    names |= {"map_label": "label_emb"}
    levels = len(saved["channel_mult"])
    level = {f"{saved['img_resolution'] >> n}": n for n in range(levels)}
    for name, block in model.children["enc"].children.items():
        place, old = level[name.partition("x")[0]], f"enc.{name}"
        if "_aux_" in name:
            names[old] = f"input_images.{place - 1}.conv"
        elif name.endswith("_conv"):
            names[old] = "input_blocks.0.0.0"
        else:
            n = 0 if name.endswith("_down") else 1 + int(name.partition("_block")[2])
            names |= _layers(old, f"input_blocks.{place}.{n}", block)
    heads = [name.removesuffix("_aux_norm") for name in model.children["dec"].children if name.endswith("_aux_norm")]
    for name, block in model.children["dec"].children.items():
        size, _, what = name.partition("_")
        place, old = levels - 1 - level[size.partition("x")[0]], f"dec.{name}"
        if what in ("aux_norm", "aux_conv"):
            names[old] = f"out.{heads.index(size)}.{0 if what == 'aux_norm' else 2}"
        elif what == "up":
            names |= {key: f"upsamplers.{place - 1}.{layer}" for key, layer in _residual(old).items()}
        elif what in ("in0", "in1"):
            names |= _layers(old, "middle_block", block, 0 if what == "in0" else 2)
        elif what.startswith("block"):
            names |= _layers(old, f"output_blocks.{place}.{int(what.removeprefix('block'))}", block)
    return names


def _layers(old: str, new: str, block: SavedObject, place: int = 0) -> dict[str, str]:
    """The layers of a block, whose residual part is at a place of ours, and its attention at the next."""
    names = {key: f"{new}.{place}.{layer}" for key, layer in _residual(old).items()}
    if block.attributes.get("num_heads"):
        names |= {f"{old}.{layer}": f"{new}.{place + 1}.{other}" for layer, other in _ATTENTION.items()}
    return names


def _residual(old: str) -> dict[str, str]:
    return {f"{old}.{layer}": other for layer, other in _RESIDUAL.items()}


def _heads(model: SavedObject, module: str) -> int:
    part, name, _ = module.split(".")
    return int(model.children[part].children[name].attributes["num_heads"])


def _outer(taps: Iterable[float]) -> Tensor:
    row = torch.tensor([float(tap) for tap in taps], dtype=torch.float64)
    return torch.outer(row, row) / row.sum() ** 2


def _classes(state: Mapping[str, Tensor], adm: bool) -> Tensor:
    """What a class adds to the embedding: a column of the layer, or `sqrt(classes)` of it and the bias."""
    weight = state["map_label.weight"].float()
    return weight.T if adm else weight.T * weight.shape[1] ** 0.5 + state["map_label.bias"].float()
