"""Pickles in the layout of NVlabs' EDM repository, and their networks evaluated from what is in them.

Written from the description of the networks, on the names that stand in the files, with other operations than the
package's: transposed convolutions, one-hot labels, attention as a matrix. Weights are random.
"""

import math
import pickle
import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

SOURCE = "raise RuntimeError('the source in the file was executed')"


def _reconstruct_persistent_obj(meta: dict[str, Any]) -> None:
    raise RuntimeError(f"the function that executes {meta['module_src']!r} was called")


class EasyDict(dict[str, Any]):
    """As in NVlabs' `dnnlib`: what was given in a configuration."""


class Saved:
    """An object whose class NVlabs' `torch_utils.persistence` keeps with it."""

    def __init__(self, kind: str, given: dict[str, Any] | None = None, **attributes: Any) -> None:
        self.kind = kind
        modules = attributes.pop("modules", {})
        tensors = {name: part for name, part in attributes.items() if isinstance(part, Tensor)}
        self.state: dict[str, Any] = {
            "training": False,
            "_parameters": {k: nn.Parameter(v, requires_grad=False) for k, v in tensors.items() if k != "freqs"},
            "_buffers": {"freqs": tensors["freqs"]} if "freqs" in tensors else {},
            "_non_persistent_buffers_set": set(),
            "_forward_hooks": OrderedDict(),
            "_modules": modules,
            **{name: part for name, part in attributes.items() if not isinstance(part, Tensor)},
            "_init_args": (),
            "_init_kwargs": given or {},
        }

    def __reduce__(self) -> tuple[Any, ...]:
        meta = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": self.kind, "state": self.state}
        return _reconstruct_persistent_obj, (meta,)

    def __getattr__(self, name: str) -> Any:
        for group in ("_modules", "_parameters", "_buffers"):
            if name in self.__dict__["state"][group]:
                return self.__dict__["state"][group][name]
        try:
            return self.__dict__["state"][name]
        except KeyError:
            raise AttributeError(name) from None

    def all(self) -> "list[Saved]":
        """The object and all modules in it."""
        parts = [part for child in self._modules.values() for part in _saved(child)]
        return [self, *[inner for part in parts for inner in part.all()]]


def _saved(child: Any) -> list[Saved]:
    return [child] if isinstance(child, Saved) else list(child._modules.values()) if child is not None else []


class ModuleDict:
    """PyTorch's own, which is saved by its name and state."""

    def __init__(self, modules: dict[str, Saved]) -> None:
        self.training = False
        self._parameters: dict[str, Any] = {}
        self._buffers: dict[str, Any] = {}
        self._modules = modules


_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
EasyDict.__module__ = "dnnlib.util"
ModuleDict.__module__ = "torch.nn.modules.container"


def write(path: Path, content: object, protocol: int = 4) -> Path:
    """Write a pickle whose names are those of NVlabs' modules, which are not here."""
    modules = {name: ModuleType(name) for name in ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util")}
    setattr(modules["torch_utils.persistence"], "_reconstruct_persistent_obj", _reconstruct_persistent_obj)  # noqa: B010
    setattr(modules["dnnlib.util"], "EasyDict", EasyDict)  # noqa: B010
    with patch.dict(sys.modules, modules), patch.object(nn.modules.container, "ModuleDict", ModuleDict):
        path.write_bytes(pickle.dumps(content, protocol))
    return path


class Maker:
    """Makes layers with random weights."""

    def __init__(self, seed: int = 0, dtype: torch.dtype = torch.float32) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.dtype = dtype

    def draw(self, *shape: int, scale: float = 0.1) -> Tensor:
        return (scale * torch.randn(*shape, generator=self.generator)).to(self.dtype)

    def linear(self, inner: int, outer: int, bias: bool = True) -> Saved:
        more = {"bias": self.draw(outer)} if bias else {"bias_": None}
        return Saved("Linear", weight=self.draw(outer, inner, scale=inner**-0.5), **more)

    def norm(self, channels: int, eps: float) -> Saved:
        weight, bias = 1 + self.draw(channels), self.draw(channels)
        return Saved("GroupNorm", weight=weight, bias=bias, eps=eps, num_groups=min(32, channels // 4))

    def conv(self, inner: int, outer: int, kernel: int, taps: Any = None, **more: Any) -> Saved:
        made = Saved("Conv2d", in_channels=inner, out_channels=outer, **more)
        if kernel:
            weight = self.draw(outer, inner, kernel, kernel, scale=(inner * kernel**2) ** -0.5)
            made._parameters.update(weight=nn.Parameter(weight, False), bias=nn.Parameter(self.draw(outer), False))
        if taps is not None:
            row = torch.tensor(taps, dtype=torch.float32)
            made._buffers["resample_filter"] = (row[:, None] * row / row.sum() ** 2)[None, None].to(self.dtype)
        return made

    def block(self, inner: int, outer: int, emb: int, heads: int, song: dict[str, Any] | None, size: str = "") -> Saved:
        taps = None if not size else song["resample_filter"] if song else [1, 1]
        eps = 1e-6 if song else 1e-5
        change = {"up": size == "up", "down": size == "down"}
        modules = {
            "norm0": self.norm(inner, eps),
            "conv0": self.conv(inner, outer, 3, taps, **change),
            "affine": self.linear(emb, outer * (1 if song else 2)),
            "norm1": self.norm(outer, eps),
            "conv1": self.conv(outer, outer, 3),
        }
        if inner != outer or size:
            kernel = 1 if song or inner != outer else 0
            modules["skip"] = self.conv(inner, outer, kernel, taps, **change)
        if heads:
            modules |= {"norm2": self.norm(outer, eps), "qkv": self.conv(outer, 3 * outer, 1)}
            modules |= {"proj": self.conv(outer, outer, 1)}
        return Saved(
            "UNetBlock",
            modules=modules,
            in_channels=inner,
            out_channels=outer,
            num_heads=heads,
            skip_scale=np.sqrt(0.5) if song else 1,
            adaptive_scale=not song,
        )


ADM: dict[str, Any] = {"img_resolution": 16, "in_channels": 3, "out_channels": 3, "label_dim": 0, "augment_dim": 0}
ADM |= {"model_channels": 64, "channel_mult": [1, 1], "channel_mult_emb": 4, "num_blocks": 1, "attn_resolutions": [8]}
SONG: dict[str, Any] = ADM | {"model_channels": 32, "channel_mult": [1, 2], "resample_filter": [1, 1]}
SONG |= {"embedding_type": "positional", "channel_mult_noise": 1, "encoder_type": "standard"}
SONG |= {"decoder_type": "standard"}


def network(song: bool, dtype: torch.dtype = torch.float32, **given: Any) -> Saved:
    """A `SongUNet` or a `DhariwalUNet` with random weights."""
    a, make = (SONG if song else ADM) | given, Maker(dtype=dtype)
    m, mults, n = a["model_channels"], a["channel_mult"], a["num_blocks"]
    emb, noise, taps = m * a["channel_mult_emb"], m * a.get("channel_mult_noise", 1), a.get("resample_filter")
    parts: dict[str, Any] = {"map_noise": Saved("PositionalEmbedding", max_positions=10000, endpoint=song)}
    if a.get("embedding_type") == "fourier":
        parts["map_noise"] = Saved("FourierEmbedding", freqs=make.draw(noise // 2, scale=16))
    if a["augment_dim"]:
        parts["map_augment"] = make.linear(a["augment_dim"], noise, bias=False)
    parts |= {"map_layer0": make.linear(noise, emb), "map_layer1": make.linear(emb, emb)}
    if a["label_dim"]:
        parts["map_label"] = make.linear(a["label_dim"], noise if song else emb, bias=song)

    def heads(width: int, attends: bool) -> int:
        return (1 if song else width // 64) if attends else 0

    def block(inner: int, outer: int, attends: bool = False, size: str = "") -> Saved:
        return make.block(inner, outer, emb, heads(outer, attends), a if song else None, size)

    enc: dict[str, Saved] = {}
    skips = []
    wide, image = a["in_channels"], a["in_channels"]
    for level, mult in enumerate(mults):
        size = a["img_resolution"] >> level
        key = f"{size}x{size}"
        if level == 0:
            first = m if song else m * mult
            enc[f"{key}_conv"] = make.conv(wide, first, 3)
            wide = first
        else:
            enc[f"{key}_down"] = block(wide, wide, size="down")
            if a.get("encoder_type") == "skip":
                enc[f"{key}_aux_down"] = make.conv(image, image, 0, taps, down=True, up=False)
                enc[f"{key}_aux_skip"] = make.conv(image, wide, 1)
            if a.get("encoder_type") == "residual":
                enc[f"{key}_aux_residual"] = make.conv(image, wide, 3, taps, down=True, up=False)
                image = wide
        skips.append(wide)
        for i in range(n):
            enc[f"{key}_block{i}"] = block(wide, m * mult, size in a["attn_resolutions"])
            wide = m * mult
            skips.append(wide)
    dec: dict[str, Saved] = {}
    for level in reversed(range(len(mults))):
        size = a["img_resolution"] >> level
        key = f"{size}x{size}"
        if level == len(mults) - 1:
            dec |= {f"{key}_in0": block(wide, wide, True), f"{key}_in1": block(wide, wide)}
        else:
            dec[f"{key}_up"] = block(wide, wide, size="up")
        for i in range(n + 1):
            attends = size in a["attn_resolutions"] and (not song or i == n)
            dec[f"{key}_block{i}"] = block(wide + skips.pop(), m * mults[level], attends)
            wide = m * mults[level]
        if song and (level == 0 or a["decoder_type"] == "skip"):
            if level < len(mults) - 1 and a["decoder_type"] == "skip":
                dec[f"{key}_aux_up"] = make.conv(a["out_channels"], a["out_channels"], 0, taps, up=True, down=False)
            dec[f"{key}_aux_norm"] = make.norm(wide, 1e-6)
            dec[f"{key}_aux_conv"] = make.conv(wide, a["out_channels"], 3)
    parts |= {"enc": ModuleDict(enc), "dec": ModuleDict(dec)}
    if not song:
        parts |= {"out_norm": make.norm(wide, 1e-5), "out_conv": make.conv(wide, a["out_channels"], 3)}
    return Saved("SongUNet" if song else "DhariwalUNet", a, modules=parts)


def preconditioned(model: Saved, kind: str = "EDMPrecond", **attributes: Any) -> Saved:
    """A network within its scalings, as it stands under `ema`."""
    about = {"use_fp16": True, "sigma_min": 0, "sigma_max": math.inf, "sigma_data": 0.5} | attributes
    return Saved(kind, {"model_type": model.kind}, modules={"model": model}, **about)


def denoised(model: Saved, x_t: Tensor, sigma: Tensor, y: Tensor | None = None, sigma_data: float = 0.5) -> Tensor:
    """The posterior mean, from what would be in the file."""
    s = sigma.reshape(-1, 1, 1, 1)
    total = s**2 + sigma_data**2
    f = _evaluate(model, x_t / total.sqrt(), sigma.log() / 4, y)
    return sigma_data**2 / total * x_t + s * sigma_data / total.sqrt() * f


def _evaluate(model: Saved, x: Tensor, t: Tensor, y: Tensor | None) -> Tensor:
    song, a = model.kind == "SongUNet", model._init_kwargs
    noise = a["model_channels"] * a.get("channel_mult_noise", 1)
    if model.map_noise.kind == "FourierEmbedding":
        angle = 2 * math.pi * t[:, None] * model.map_noise.freqs.float()[None]
    else:
        angle = t[:, None] * torch.logspace(0, 1, noise // 2 + (not song), base=1e-4)[: noise // 2]
    waves = [angle.cos(), angle.sin()]
    emb = torch.cat(waves[::-1] if song else waves, dim=1)
    one_hot = None if y is None else F.one_hot(y, a["label_dim"]).float()
    if song and one_hot is not None:
        emb = emb + _linear(model.map_label, one_hot * a["label_dim"] ** 0.5)
    emb = _linear(model.map_layer1, F.silu(_linear(model.map_layer0, emb)))
    if not song and one_hot is not None:
        emb = emb + _linear(model.map_label, one_hot)
    emb = F.silu(emb)

    skips, image = [], x
    for name, part in model.enc._modules.items():
        if name.endswith("aux_down"):
            image = _conv(part, image)
        elif name.endswith("aux_skip"):
            skips[-1] = x = x + _conv(part, image)
        elif name.endswith("aux_residual"):
            # The convolution sees one more pixel around the image, which the filter takes away again.
            wide = F.conv2d(image, part.weight.float(), padding=1 + (part.resample_filter.shape[-1] - 1) // 2)
            small = _filtered(wide, part.resample_filter, pad=0) + part.bias.float()[:, None, None]
            skips[-1] = x = image = (x + small) / 2**0.5
        else:
            x = _block(part, x, emb)
            skips.append(x)
    total = None
    for name, part in model.dec._modules.items():
        if name.endswith("aux_up"):
            total = _conv(part, total)
        elif name.endswith("aux_norm"):
            here = F.silu(_norm(part, x))
        elif name.endswith("aux_conv"):
            here = _conv(part, here)
            total = here if total is None else total + here
        else:
            x = _block(part, torch.cat([x, skips.pop()], 1) if "_block" in name else x, emb)
    return total if song else _conv(model.out_conv, F.silu(_norm(model.out_norm, x)))


def _linear(part: Saved, x: Tensor) -> Tensor:
    product = torch.einsum("ni,oi->no", x, part.weight.float())
    return product + part.bias.float() if "bias" in part._parameters else product


def _norm(part: Saved, x: Tensor) -> Tensor:
    grouped = x.reshape(len(x), part.num_groups, -1)
    spread = (grouped.var(-1, unbiased=False, keepdim=True) + part.eps).sqrt()
    normal = ((grouped - grouped.mean(-1, keepdim=True)) / spread).reshape(x.shape)
    return normal * part.weight.float()[:, None, None] + part.bias.float()[:, None, None]


def _filtered(x: Tensor, kernel: Tensor, pad: int, up: bool = False) -> Tensor:
    weight = kernel.float().expand(x.shape[1], 1, -1, -1)
    if up:
        return F.conv_transpose2d(x, 4 * weight, stride=2, padding=pad, groups=x.shape[1])
    return F.conv2d(x, weight, stride=2, padding=pad, groups=x.shape[1])


def _conv(part: Saved, x: Tensor) -> Tensor:
    if "resample_filter" in part._buffers:
        kernel = part.resample_filter
        x = _filtered(x, kernel, (kernel.shape[-1] - 1) // 2, part.up)
    if "weight" in part._parameters:
        x = F.conv2d(x, part.weight.float(), part.bias.float(), padding=part.weight.shape[-1] // 2)
    return x


def _block(part: Saved, x: Tensor, emb: Tensor) -> Tensor:
    if part.kind == "Conv2d":
        return _conv(part, x)
    h = _conv(part.conv0, F.silu(_norm(part.norm0, x)))
    steer = _linear(part.affine, emb)[:, :, None, None]
    if part.adaptive_scale:
        scale, shift = steer.split(part.out_channels, dim=1)
        h = F.silu(_norm(part.norm1, h) * (scale + 1) + shift)
    else:
        h = F.silu(_norm(part.norm1, h + steer))
    h = _conv(part.conv1, h)
    x = (h + (_conv(part.skip, x) if "skip" in part._modules else x)) * float(part.skip_scale)
    if not part.num_heads:
        return x
    # Channels of q, k and v take turns within a head.
    qkv = _conv(part.qkv, _norm(part.norm2, x)).reshape(len(x), part.num_heads, -1, 3, x[0, 0].numel())
    q, k, v = qkv.unbind(3)
    weight = torch.softmax(torch.einsum("nhcq,nhck->nhqk", q, k) / q.shape[2] ** 0.5, dim=-1)
    seen = torch.einsum("nhqk,nhck->nhcq", weight, v).reshape(x.shape)
    return (x + _conv(part.proj, seen)) * float(part.skip_scale)
