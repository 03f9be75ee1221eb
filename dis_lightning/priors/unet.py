"""The ADM U-Net, as published with "Consistency Models" (Song et al., 2023).

    F(x, t, y):    e = MLP([cos(t w), sin(t w)]) + label(y),    w_k = 10000^(-2 k / m),  k = 0 .. m / 2 - 1
                   h_0 = Conv(x),    h_i = block_i(h_(i-1), e)                on the way down
                   h = block_j([h, h_i], e)    with the h_i in reverse order   on the way up
                   F = Conv(SiLU(GN(h)))

Names and shapes of the parameters are those of the published checkpoints, so that these load strictly and as they are.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dis_lightning.described import Described
from dis_lightning.errors import InvalidValueError, require_numbers
from dis_lightning.priors.blocks import AttentionBlock, Block, Conv2d, GroupNorm, Halving, ResBlock, zeroed

__all__ = ["UNet"]


class UNet(Described, nn.Module):
    """The raw network behind an EDM or a consistency model: `F(x, t, y)`.

    Convolutions of the torso (`input_blocks`, `middle_block`, `output_blocks`) compute in `dtype`; normalisation, the
    embeddings and the last convolution stay in float32, as published.

    Args:
        image_size: height and width of the images it was made for.
        model_channels: channels of the first level, `m`; a multiple of 32.
        num_res_blocks: residual blocks per level on the way down; one more on the way up.
        attention_resolutions: the sizes, in pixels, of the levels that have attention.
        channel_mult: channels of each level, in units of `model_channels`; a level has half the size of the one before.
        num_head_channels: channels of an attention head.
        use_scale_shift_norm: whether the embedding scales and shifts the features, or is added to them.
        resblock_updown: whether residual blocks change the size; must be true, as in all published checkpoints.
        num_classes: number of classes of a class-conditional network, else None.
        in_channels: channels of the images that come in.
        out_channels: channels that go out.
        dropout: dropout in the residual blocks, in training.
        dtype: precision of the torso: float32, bfloat16 or float16.

    Attributes:
        arguments: the arguments above that decide keys, shapes and results; a copy with the same ones takes the same
            weights. Without `dropout` and `dtype`.
        shape: shape of one image, `(in_channels, image_size, image_size)`.

    Raises:
        ValueError: if the arguments do not fit each other.
    """

    def __init__(
        self,
        image_size: int,
        model_channels: int,
        num_res_blocks: int,
        attention_resolutions: Sequence[int],
        channel_mult: Sequence[int],
        num_head_channels: int = 64,
        use_scale_shift_norm: bool = True,
        resblock_updown: bool = True,
        num_classes: int | None = None,
        in_channels: int = 3,
        out_channels: int = 3,
        dropout: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.arguments: dict[str, Any] = {
            "image_size": image_size,
            "model_channels": model_channels,
            "num_res_blocks": num_res_blocks,
            "attention_resolutions": list(attention_resolutions),
            "channel_mult": list(channel_mult),
            "num_head_channels": num_head_channels,
            "use_scale_shift_norm": use_scale_shift_norm,
            "resblock_updown": resblock_updown,
            "num_classes": num_classes,
            "in_channels": in_channels,
            "out_channels": out_channels,
        }
        require_numbers(self, **{name: self.arguments[name] for name in _COUNTS}, dropout=dropout)
        _check(self.arguments)
        self.shape = (in_channels, image_size, image_size)
        self.num_classes = num_classes
        self.model_channels = model_channels
        self.reduction = 2 ** (len(channel_mult) - 1)

        time = 4 * model_channels
        self.time_embed = nn.Sequential(nn.Linear(model_channels, time), nn.SiLU(), nn.Linear(time, time))
        self.label_emb = None if num_classes is None else nn.Embedding(num_classes, time)
        self.input_blocks, self.middle_block, self.output_blocks = self._torso(
            partial(ResBlock, emb_channels=time, scale_shift=use_scale_shift_norm, dropout=dropout)
        )
        first = channel_mult[0] * model_channels
        self.out = nn.Sequential(GroupNorm(first), nn.SiLU(), zeroed(Conv2d(first, out_channels, 3, padding=1)))
        for layer in (*self.input_blocks.modules(), *self.middle_block.modules(), *self.output_blocks.modules()):
            if isinstance(layer, nn.Conv2d):
                layer.to(dtype)

    def _torso(self, residual: partial[ResBlock]) -> tuple[nn.ModuleList, Block, nn.ModuleList]:
        size, depth, heads = (self.arguments[key] for key in ("image_size", "num_res_blocks", "num_head_channels"))
        widths = [multiple * self.model_channels for multiple in self.arguments["channel_mult"]]

        def block(channels: int, level: int) -> Block:
            attends = size >> level in self.arguments["attention_resolutions"]
            attention = [AttentionBlock(widths[level], heads)] if attends else []
            return Block([residual(channels, widths[level]), *attention])

        down = [Block([Conv2d(self.shape[0], widths[0], 3, padding=1)])]
        skips = [widths[0]]
        for level, width in enumerate(widths):
            if level > 0:
                down.append(Block([residual(skips[-1], skips[-1], resample=Halving())]))
                skips.append(skips[-1])
            for _ in range(depth):
                down.append(block(skips[-1], level))
                skips.append(width)

        width = widths[-1]
        middle = Block([residual(width, width), AttentionBlock(width, heads), residual(width, width)])

        up = []
        for level in reversed(range(len(widths))):
            for _ in range(depth + 1):
                up.append(block(width + skips.pop(), level))
                width = widths[level]
            if level > 0:
                up[-1].append(residual(width, width, resample=nn.Upsample(scale_factor=2)))
        return nn.ModuleList(down), middle, nn.ModuleList(up)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the torso."""
        return _precision(self.input_blocks)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Evaluate the network.

        Args:
            x: scaled noisy images, `(N, in_channels, H, W)`, with H and W multiples of the total down-sampling.
            t: raw time input, `(N,)`: `250 ln sigma` for the published checkpoints. Any float.
            y: class labels, `(N,)`, integers in 0 .. num_classes - 1; None for a network without classes.

        Returns:
            The raw output, `(N, out_channels, H, W)`, in float32.

        Raises:
            ValueError: if the image size does not fit, or labels are missing or not wanted.
        """
        self._check_inputs(x, y)
        e = self.time_embed(_waves(t, self.model_channels).to(_precision(self.time_embed)))
        if self.label_emb is not None:
            e = e + self.label_emb(y)
        h = x.to(self.dtype)
        skips = []
        for block in self.input_blocks:
            h = block(h, e)
            skips.append(h)
        h = self.middle_block(h, e)
        for block in self.output_blocks:
            h = block(torch.cat([h, skips.pop()], dim=1), e)
        norm, _, conv = self.out
        output: Tensor = conv(norm(h, silu=True, dtype=_precision(self.out)))
        return output

    def _check_inputs(self, x: Tensor, y: Tensor | None) -> None:
        if x.ndim != 4 or x.shape[1] != self.shape[0] or x.shape[2] % self.reduction or x.shape[3] % self.reduction:
            raise InvalidValueError(
                f"This network takes images (N, {self.shape[0]}, H, W) with H and W multiples of {self.reduction}, "
                f"but got {tuple(x.shape)}. It was made for {self.shape}: resize or crop the images."
            )
        if (y is None) != (self.num_classes is None):
            raise InvalidValueError(
                "This network is not class-conditional and takes no labels, but got some."
                if self.num_classes is None
                else f"This network is class-conditional: give labels in 0 .. {self.num_classes - 1}."
            )
        if y is not None and y.shape != x.shape[:1]:
            raise InvalidValueError(
                f"Each of the {len(x)} images needs one label, but the labels have shape {tuple(y.shape)}."
            )


def _precision(module: nn.Module) -> torch.dtype:
    return next(module.parameters()).dtype


def _waves(t: Tensor, size: int) -> Tensor:
    # In float32 whatever the network's precision: t is in the hundreds and its fraction counts.
    half = size // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
    angles = t.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


_COUNTS = ("image_size", "model_channels", "num_res_blocks", "num_head_channels", "in_channels", "out_channels")


def _check(arguments: dict[str, Any]) -> None:
    if wrong := {name: arguments[name] for name in _COUNTS if arguments[name] < 1}:
        raise InvalidValueError(f"UNet needs {' and '.join(wrong)} >= 1, but got {wrong}.")
    size, levels = arguments["image_size"], len(arguments["channel_mult"])
    if not arguments["resblock_updown"]:
        raise InvalidValueError("UNet is written for resblock_updown=True, as all published checkpoints are.")
    if levels == 0 or size % 2 ** (levels - 1):
        raise InvalidValueError(
            f"image_size={size} cannot be halved at each of the {levels} levels of channel_mult: "
            f"it must be a multiple of {2 ** max(levels - 1, 0)}."
        )
    if arguments["model_channels"] % 32:
        raise InvalidValueError(f"model_channels must be a multiple of 32, but got {arguments['model_channels']}.")
    sizes = [size >> level for level in range(levels)]
    strangers = set(arguments["attention_resolutions"]) - set(sizes)
    if strangers:
        raise InvalidValueError(
            f"attention_resolutions must be among the levels' sizes {sizes}, but got {sorted(strangers)}."
        )
