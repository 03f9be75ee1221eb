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

import torch
from torch import Tensor, nn

from dis_lightning.errors import InvalidValueError, require_numbers
from dis_lightning.priors.networks.base import RawNetwork, TimeInput, precision
from dis_lightning.priors.networks.blocks import (
    AttentionBlock,
    Block,
    Conv2d,
    Doubling,
    GroupNorm,
    Halving,
    ResBlock,
    zeroed,
)
from dis_lightning.priors.networks.sizes import ImageSize, level_heights

__all__ = ["UNet"]


class UNet(RawNetwork):
    """The raw network behind an EDM or a consistency model: `F(x, t, y)`.

    Convolutions of the torso (`input_blocks`, `middle_block`, `output_blocks`) compute in `dtype`; normalisation, the
    embeddings and the last convolution stay in float32, as published.

    Args:
        image_size: side of the images it was made for, or height and width.
        model_channels: channels of the first level, `m`; a multiple of 32, but for small `min_channels_per_group`.
        num_res_blocks: residual blocks per level on the way down; one more on the way up.
        attention_resolutions: the heights, in pixels, of the levels that have attention.
        channel_mult: channels of each level, in units of `model_channels`; a level has half the size of the one before.
        num_head_channels: channels of an attention head, one number or one for each level; 0 for the last level leaves
            the middle block without attention.
        use_scale_shift_norm: whether the embedding scales and shifts the features, or is added to them.
        resblock_updown: whether residual blocks change the size; must be true, as in all published checkpoints.
        num_classes: number of classes of a class-conditional network, else None.
        in_channels: channels of the images that come in.
        out_channels: channels that go out.
        dropout: dropout in the residual blocks, in training.
        dtype: precision of the torso: float32, bfloat16 or float16.
        channel_mult_emb: length of the embedding, in units of `model_channels`.
        min_channels_per_group: the least channels of a group of the normalisation, which has 32 groups or fewer: 4 in
            NVlabs' networks, which differ in this from the others below 128 channels.
        norm_eps: what the normalisation adds to the variance.
        time_input: what the network was trained to take for the noise level.
        sigma_data: standard deviation of the data that it was trained with.

    Attributes:
        arguments: see `RawNetwork`; without `dropout` and `dtype`.

    Raises:
        ValueError: if the arguments do not fit each other.
    """

    def __init__(
        self,
        image_size: ImageSize,
        model_channels: int,
        num_res_blocks: int,
        attention_resolutions: Sequence[int],
        channel_mult: Sequence[int],
        num_head_channels: int | Sequence[int] = 64,
        use_scale_shift_norm: bool = True,
        resblock_updown: bool = True,
        num_classes: int | None = None,
        in_channels: int = 3,
        out_channels: int = 3,
        dropout: float = 0.0,
        dtype: torch.dtype = torch.float32,
        channel_mult_emb: int = 4,
        min_channels_per_group: int = 1,
        norm_eps: float = 1e-5,
        time_input: TimeInput = "250 ln sigma",
        sigma_data: float = 0.5,
    ) -> None:
        super().__init__(locals())
        require_numbers(self, dropout=dropout)
        if not resblock_updown:
            raise InvalidValueError("UNet is written for resblock_updown=True, as all published checkpoints are.")
        if min_channels_per_group == 1 and model_channels % 32:
            raise InvalidValueError(f"model_channels must be a multiple of 32, but got {model_channels}.")
        self.model_channels = model_channels
        self.head_channels = _per_level(num_head_channels, len(channel_mult))

        time = channel_mult_emb * model_channels
        norm = partial(GroupNorm, min_channels=min_channels_per_group, eps=norm_eps)
        self.time_embed = nn.Sequential(nn.Linear(model_channels, time), nn.SiLU(), nn.Linear(time, time))
        self.label_emb = None if num_classes is None else nn.Embedding(num_classes, time)
        self.input_blocks, self.middle_block, self.output_blocks = self._torso(
            partial(ResBlock, emb_channels=time, scale_shift=use_scale_shift_norm, dropout=dropout, norm=norm),
            partial(AttentionBlock, norm=norm),
        )
        first = channel_mult[0] * model_channels
        self.out = nn.Sequential(norm(first), nn.SiLU(), zeroed(Conv2d(first, out_channels, 3, padding=1)))
        for layer in (*self.input_blocks.modules(), *self.middle_block.modules(), *self.output_blocks.modules()):
            if isinstance(layer, nn.Conv2d):
                layer.to(dtype)

    def _torso(
        self, residual: partial[ResBlock], attention: partial[AttentionBlock]
    ) -> tuple[nn.ModuleList, Block, nn.ModuleList]:
        heights, depth = level_heights(self.arguments), self.arguments["num_res_blocks"]
        widths = [multiple * self.model_channels for multiple in self.arguments["channel_mult"]]

        def block(channels: int, level: int) -> Block:
            attends = heights[level] in self.arguments["attention_resolutions"]
            return Block([residual(channels, widths[level]), *(attend(level) if attends else [])])

        def attend(level: int) -> list[AttentionBlock]:
            heads = self.head_channels[level]
            return [attention(widths[level], heads)] if heads else []

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
        middle = Block([residual(width, width), *attend(len(widths) - 1), residual(width, width)])

        up = []
        for level in reversed(range(len(widths))):
            for _ in range(depth + 1):
                up.append(block(width + skips.pop(), level))
                width = widths[level]
            if level > 0:
                up[-1].append(residual(width, width, resample=Doubling()))
        return nn.ModuleList(down), middle, nn.ModuleList(up)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the torso."""
        return precision(self.input_blocks)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Evaluate the network; see `RawNetwork`."""
        self._check_inputs(x, y)
        e = self.time_embed(_waves(t, self.model_channels).to(precision(self.time_embed)))
        if self.label_emb is not None:
            e = e + self.label_emb(y)
        h = x.to(self.dtype)
        skips = []
        for block in self.input_blocks:
            h = block(h, e)
            skips.append(h)
        h = self.middle_block(h, e)
        for block in self.output_blocks:
            h = block(h, e, skips.pop())
        norm, _, conv = self.out
        output: Tensor = conv(norm(h, silu=True, dtype=precision(self.out)))
        return output


def _waves(t: Tensor, size: int) -> Tensor:
    # In float32 whatever the network's precision: t is in the hundreds and its fraction counts.
    half = size // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
    angles = t.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def _per_level(head_channels: int | Sequence[int], levels: int) -> Sequence[int]:
    each = head_channels if isinstance(head_channels, Sequence) else [head_channels] * levels
    for head in each:
        require_numbers("UNet", num_head_channels=head)
    if len(each) != levels or min(each) < (each is not head_channels):
        raise InvalidValueError(
            f"UNet needs num_head_channels >= 1, one number or one for each of the {levels} levels, "
            f"but got num_head_channels={head_channels}."
        )
    return each
