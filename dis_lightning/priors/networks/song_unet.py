"""The U-Nets DDPM++ and NCSN++, as they are trained with EDM.

Song et al., "Score-Based Generative Modeling through Stochastic Differential Equations", 2021; Karras et al.,
"Elucidating the Design Space of Diffusion-Based Generative Models", 2022.

    F(x, t, y):    e = MLP(w(t) + label(y)),    w = [sin, cos] of t w_k (positional) or of 2 pi t f_k (Fourier)
                   h_i = block_i(h_(i-1), e)              on the way down, where the image itself may come in again
                   h = block_j([h, h_i], e)               on the way up
                   F = Conv(SiLU(GN(h)))                  of the last level, or the sum of all levels, enlarged

It differs from the ADM U-Net (`UNet`) in the embedding, in the sum of a block's branches, which is scaled by
`sqrt(1/2)`, in the filter that changes sizes, in its single attention head, and in where attention stands.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dis_lightning.errors import InvalidValueError, require_numbers
from dis_lightning.priors.networks.base import RawNetwork, TimeInput, precision
from dis_lightning.priors.networks.blocks import AttentionBlock, Block, GroupNorm, ResBlock
from dis_lightning.priors.networks.sizes import ImageSize, level_heights

__all__ = ["Resample", "SongUNet"]

Embedding = Literal["positional", "fourier"]
Encoder = Literal["standard", "skip", "residual"]
Decoder = Literal["standard", "skip"]
MakeBlock = Callable[[int, int, bool], Block]
"""From the channels that come in and those that go out, and whether there is attention."""


class SongUNet(RawNetwork):
    """The raw network `F(x, t, y)` of NVlabs' EDM checkpoints of CIFAR-10, FFHQ and AFHQv2.

    Convolutions of the torso compute in `dtype`; normalisation, embeddings and the last convolutions stay in float32.

    Args:
        image_size: side of the images it was made for, or height and width.
        model_channels: channels of the first level.
        num_res_blocks: residual blocks per level on the way down; one more on the way up.
        attention_resolutions: the heights, in pixels, of the levels that have attention.
        channel_mult: channels of each level, in units of `model_channels`; a level has half the size of the one before.
        channel_mult_emb: length of the embedding, in units of `model_channels`.
        channel_mult_noise: length of the embedding of the noise level alone, likewise; 1 in DDPM++, 2 in NCSN++.
        embedding_type: "positional" in DDPM++, "fourier", with frequencies that were drawn once, in NCSN++.
        encoder_type: "standard" in DDPM++; "residual" in NCSN++, which brings the image in again at each level.
        decoder_type: "standard" in both; "skip" sums up an image over the levels.
        resample_filter: taps of the filter that halves and doubles sizes, an even number: [1, 1] in DDPM++,
            [1, 3, 3, 1] in NCSN++.
        num_classes: number of classes of a class-conditional network, else None.
        in_channels: channels of the images that come in.
        out_channels: channels that go out.
        dropout: dropout in the residual blocks, in training.
        dtype: precision of the torso: float32, bfloat16 or float16.
        num_heads: heads of the attention.
        adaptive_scale: whether the embedding scales and shifts the features, or is added to them.
        skip_scale: factor of the sum of a block's branches.
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
        channel_mult_emb: int = 4,
        channel_mult_noise: int = 1,
        embedding_type: Embedding = "positional",
        encoder_type: Encoder = "standard",
        decoder_type: Decoder = "standard",
        resample_filter: Sequence[float] = (1, 1),
        num_classes: int | None = None,
        in_channels: int = 3,
        out_channels: int = 3,
        dropout: float = 0.0,
        dtype: torch.dtype = torch.float32,
        num_heads: int = 1,
        adaptive_scale: bool = False,
        skip_scale: float = math.sqrt(0.5),
        norm_eps: float = 1e-6,
        time_input: TimeInput = "ln sigma / 4",
        sigma_data: float = 0.5,
    ) -> None:
        super().__init__(locals())
        require_numbers(self, dropout=dropout, skip_scale=skip_scale)
        _check(self.arguments)
        self.widths = [multiple * model_channels for multiple in channel_mult]
        self.attends = [height in attention_resolutions for height in level_heights(self.arguments)]
        noise, time = channel_mult_noise * model_channels, channel_mult_emb * model_channels
        norm = partial(GroupNorm, min_channels=4, eps=norm_eps)

        self.embedding = Fourier(noise) if embedding_type == "fourier" else Positional(noise)
        self.label_emb = None if num_classes is None else nn.Embedding(num_classes, noise)
        self.time_embed = nn.Sequential(nn.Linear(noise, time), nn.SiLU(), nn.Linear(time, time))
        residual = partial(
            ResBlock,
            emb_channels=time,
            scale_shift=adaptive_scale,
            dropout=dropout,
            norm=norm,
            project=True,
            skip_scale=skip_scale,
        )

        def block(channels: int, width: int, attends: bool) -> Block:
            layer = residual(channels, width, project=False)
            if not attends:
                return Block([layer])
            return Block([layer, AttentionBlock(width, max(1, width // num_heads), norm, skip_scale)])

        width = self.widths[-1]
        skips = self._build_encoder(residual, block)
        self.middle_block = Block([*block(width, width, True), residual(width, width, project=False)])
        self._build_decoder(residual, block, norm, skips)
        for part in (self.input_blocks, self.input_images, self.middle_block, self.output_blocks, self.upsamplers):
            for layer in part.modules():
                if isinstance(layer, nn.Conv2d):
                    layer.to(dtype)

    def _build_encoder(self, residual: partial[ResBlock], block: MakeBlock) -> list[int]:
        """Make the way down; gives the channels of what it hands over to the way up."""
        taps, image = self.arguments["resample_filter"], self.arguments["in_channels"]
        width = self.arguments["model_channels"]
        self.input_blocks, self.input_images = nn.ModuleList(), nn.ModuleList()
        skips = []
        for level, wide in enumerate(self.widths):
            blocks = nn.ModuleList()
            if level == 0:
                blocks.append(Block([nn.Conv2d(image, width, 3, padding=1)]))
            else:
                blocks.append(Block([residual(width, width, resample=Resample(taps))]))
                if self.arguments["encoder_type"] == "skip":
                    self.input_images.append(Skip(image, width, taps))
                if self.arguments["encoder_type"] == "residual":
                    self.input_images.append(Residual(image, width, taps))
                    image = width
            skips.append(width)
            for _ in range(self.arguments["num_res_blocks"]):
                blocks.append(block(width, wide, self.attends[level]))
                width = wide
                skips.append(width)
            self.input_blocks.append(blocks)
        return skips

    def _build_decoder(
        self, residual: partial[ResBlock], block: MakeBlock, norm: partial[GroupNorm], skips: list[int]
    ) -> None:
        """Make the way up, from the lowest level."""
        last = self.arguments["num_res_blocks"]
        width = self.widths[-1]
        self.enlarge = Resample(self.arguments["resample_filter"], up=True)
        self.output_blocks, self.upsamplers, self.out = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(len(self.widths))):
            if level + 1 < len(self.widths):
                self.upsamplers.append(residual(width, width, resample=self.enlarge))
            blocks = nn.ModuleList()
            for n in range(last + 1):
                blocks.append(block(width + skips.pop(), self.widths[level], self.attends[level] and n == last))
                width = self.widths[level]
            self.output_blocks.append(blocks)
            if level == 0 or self.arguments["decoder_type"] == "skip":
                conv = nn.Conv2d(width, self.arguments["out_channels"], 3, padding=1)
                self.out.append(nn.Sequential(norm(width), nn.SiLU(), conv))

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the torso."""
        return precision(self.input_blocks)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Evaluate the network; see `RawNetwork`."""
        self._check_inputs(x, y)
        e = self.embedding(t.float()).to(precision(self.time_embed))
        if self.label_emb is not None:
            e = e + self.label_emb(y)
        # Every block activates the embedding before its own layer, so the last activation is theirs.
        e = self.time_embed(e)

        h = image = x.to(self.dtype)
        skips = []
        for level, blocks in enumerate(self.input_blocks):
            assert isinstance(blocks, nn.ModuleList)
            for n, block in enumerate(blocks):
                h = block(h, e)
                if level > 0 and n == 0 and len(self.input_images):
                    h, image = self.input_images[level - 1](h, image)
                skips.append(h)

        h = self.middle_block(h, e)
        heads = [None] * (len(self.output_blocks) - len(self.out)) + list(self.out)
        output: Tensor | None = None
        for n, (blocks, head) in enumerate(zip(self.output_blocks, heads, strict=True)):
            assert isinstance(blocks, nn.ModuleList)
            if n > 0:
                h = self.upsamplers[n - 1](h, e)
            for block in blocks:
                h = block(h, e, skips.pop())
            if head is not None:
                here = head(h.to(precision(head)))
                output = here if output is None else self.enlarge(output) + here
        assert output is not None
        return output


class Positional(nn.Module):
    """`[sin(t w_k), cos(t w_k)]`, `w_k = 10000^(-k / (K - 1))`, `k = 0 .. K - 1`.

    Args:
        size: length of the embedding, `2 K`.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.pairs = size // 2

    def forward(self, t: Tensor) -> Tensor:
        """Embed `t`, `(N,)`."""
        k = torch.arange(self.pairs, dtype=torch.float32, device=t.device)
        angles = t[:, None] * torch.exp(-math.log(10000) * k / (self.pairs - 1))
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class Fourier(nn.Module):
    """`[sin(2 pi t f_k), cos(2 pi t f_k)]` with frequencies `f_k` that are kept with the weights.

    Args:
        size: length of the embedding, `2 K`.
    """

    frequencies: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", 16 * torch.randn(size // 2))

    def forward(self, t: Tensor) -> Tensor:
        """Embed `t`, `(N,)`."""
        angles = t[:, None] * (2 * math.pi * self.frequencies)
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class Skip(nn.Module):
    """Adds the image, halved, to the features of a level.

    Args:
        channels: channels of the image.
        width: channels of the features.
        taps: the filter that halves the image.
    """

    def __init__(self, channels: int, width: int, taps: Sequence[float]) -> None:
        super().__init__()
        self.halve = Resample(taps)
        self.conv = nn.Conv2d(channels, width, 1)

    def forward(self, h: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Give the features and the image of this level."""
        image = self.halve(image)
        return h + self.conv(image), image


class Residual(nn.Module):
    """Takes the mean of a level's features and those of the level before, or the image, with the variance of one.

    Args:
        channels: channels of the level before.
        width: channels of the features.
        taps: the filter. It comes after the convolution, whose padding is so wide that the filter needs none.
    """

    def __init__(self, channels: int, width: int, taps: Sequence[float]) -> None:
        super().__init__()
        self.halve = Resample(taps, padding=0)
        self.conv = nn.Conv2d(channels, width, 3, padding=1 + (len(taps) - 1) // 2)

    def forward(self, h: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Give the features of this level, twice: they are the image of the next."""
        h = (h + self.halve(self.conv(image))) * math.sqrt(0.5)
        return h, h


class Resample(nn.Module):
    """Halves or doubles images with a separable filter; what is outside of an image counts as 0.

    With taps `f` that sum to 1, in each direction and with `p` the padding:

        halve     y_n = sum_i f_i x_(2 n + i - p)
        double    y_m = 2 sum_i f_i x_((m + p - i) / 2)    over the i that give whole places

    Args:
        taps: the filter, an even number of them; they are normalised.
        up: whether to double.
        padding: how far the filter reaches out of the image; None for as far as makes the sizes exact.
    """

    def __init__(self, taps: Sequence[float], up: bool = False, padding: int | None = None) -> None:
        super().__init__()
        self.taps = [tap / sum(taps) for tap in taps]
        self.up = up
        self.padding = (len(taps) - 1) // 2 if padding is None else padding

    def forward(self, x: Tensor) -> Tensor:
        """Resample `x`, `(N, C, H, W)`."""
        if self.taps == [0.5, 0.5] and self.padding == 0:
            return F.interpolate(x, scale_factor=2) if self.up else F.avg_pool2d(x, 2)
        for _ in range(2):
            x = (self._double(x) if self.up else self._halve(x)).transpose(-1, -2)
        return x

    def _halve(self, x: Tensor) -> Tensor:
        x = F.pad(x, (self.padding, self.padding))
        length = 2 * ((x.shape[-1] - len(self.taps)) // 2) + 1
        return torch.stack([tap * x[..., i : i + length : 2] for i, tap in enumerate(self.taps)]).sum(0)

    def _double(self, x: Tensor) -> Tensor:
        reach, length = len(self.taps), x.shape[-1]
        x = F.pad(x, (reach, reach))
        phases = []
        for m in range(2):
            places = range((m + self.padding) % 2, len(self.taps), 2)
            starts = {i: reach + (m + self.padding - i) // 2 for i in places}
            parts = [2 * self.taps[i] * x[..., start : start + length] for i, start in starts.items()]
            phases.append(torch.stack(parts).sum(0))
        return torch.stack(phases, dim=-1).flatten(-2)


def _check(arguments: dict[str, Any]) -> None:
    for name, kind in (("embedding_type", Embedding), ("encoder_type", Encoder), ("decoder_type", Decoder)):
        if arguments[name] not in get_args(kind):
            raise InvalidValueError(f"{name} must be one of {', '.join(get_args(kind))}, but got {arguments[name]!r}.")
    taps = arguments["resample_filter"]
    if not taps or len(taps) % 2 or not sum(taps):
        raise InvalidValueError(
            f"resample_filter needs an even number of taps whose sum is not 0, such as [1, 3, 3, 1], but got {taps}: "
            "with others, halved images would not have the size of a level."
        )
    if (
        arguments["embedding_type"] == "positional"
        and arguments["model_channels"] * arguments["channel_mult_noise"] < 4
    ):
        raise InvalidValueError("The positional embedding needs a length of at least 4: choose more model_channels.")
