"""The layers of the ADM U-Net (Dhariwal and Nichol, "Diffusion Models Beat GANs on Image Synthesis", 2021).

With `GN` a group normalisation over 32 groups and `e` the embedding of noise level and class:

    residual     x + Conv(SiLU(GN(Conv(SiLU(GN(x))) + Linear(SiLU(e)))))
                 x + Conv(SiLU((1 + s) GN(Conv(SiLU(GN(x)))) + b)),    (s, b) = Linear(SiLU(e))
    attention    x + P softmax(Q^T K / sqrt(d)) V,    (Q, K, V) = W GN(x)

Parameter names are those of the published checkpoints. The layout of the attention's channels is [Q | K | V], each
with its heads one after the other: contiguous thirds, unlike the guided-diffusion checkpoints of the same architecture.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from dis_lightning.errors import InvalidValueError

__all__ = ["AttentionBlock", "Block", "GroupNorm", "ResBlock", "zeroed"]

GROUPS = 32


class GroupNorm(nn.GroupNorm):
    """Group normalisation in the precision of its own parameters, whatever comes in; the result has the input's type.

    Args:
        channels: number of channels, a multiple of the number of groups: 32, or fewer where that is too many.
        min_channels: the least channels of a group.
        eps: what is added to the variance.

    Raises:
        ValueError: if the channels cannot be dealt to groups.
    """

    def __init__(self, channels: int, min_channels: int = 1, eps: float = 1e-5) -> None:
        groups = max(1, min(GROUPS, channels // min_channels))
        if channels % groups:
            raise InvalidValueError(f"{channels} channels cannot be dealt to {groups} groups: choose a multiple of 32.")
        super().__init__(groups, channels, eps)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x`, `(N, C, H, W)`."""
        return super().forward(x.to(self.weight.dtype)).to(x.dtype)


class ResBlock(nn.Module):
    """Two convolutions and a skip connection, steered by an embedding; optionally changes the size.

    Args:
        channels: channels that come in.
        out_channels: channels that go out.
        emb_channels: length of the embedding.
        scale_shift: whether the embedding scales and shifts the normalised features, or is only added.
        dropout: probability of dropping a feature before the second convolution, in training.
        resample: changes the size of the features, between the first activation and the first convolution and in the
            skip connection; a module without parameters.
        norm: makes a normalisation of so many channels.
        project: whether there is a convolution in the skip connection even where the channels stay the same.
        skip_scale: factor of the sum of both branches.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        emb_channels: int,
        scale_shift: bool,
        dropout: float = 0.0,
        resample: nn.Module | None = None,
        norm: Callable[[int], GroupNorm] = GroupNorm,
        project: bool = False,
        skip_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.scale_shift = scale_shift
        self.skip_scale = skip_scale
        self.in_layers = nn.Sequential(norm(channels), nn.SiLU(), _conv3(channels, out_channels))
        self.resample = resample or nn.Identity()
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb_channels, out_channels * (1 + scale_shift)))
        self.out_layers = nn.Sequential(
            norm(out_channels), nn.SiLU(), nn.Dropout(dropout), zeroed(_conv3(out_channels, out_channels))
        )
        same = channels == out_channels and not project
        self.skip_connection = nn.Identity() if same else nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Transform features `(N, C, H, W)` with the embeddings `(N, E)`."""
        norm, activation, conv = self.in_layers
        h: Tensor = conv(self.resample(activation(norm(x))))
        e: Tensor = self.emb_layers(emb).to(h.dtype)[:, :, None, None]
        norm, *rest = self.out_layers
        if self.scale_shift:
            scale, shift = e.chunk(2, dim=1)
            h = norm(h) * (1 + scale) + shift
        else:
            h = norm(h + e)
        for layer in rest:
            h = layer(h)
        output: Tensor = self.skip_connection(self.resample(x)) + h
        return output if self.skip_scale == 1 else output * self.skip_scale


class AttentionBlock(nn.Module):
    """Self-attention between all pixels, with a skip connection.

    Args:
        channels: number of channels.
        head_channels: channels of each head, a divisor of `channels`.
        norm: makes a normalisation of so many channels.
        skip_scale: factor of the sum of both branches.

    Raises:
        ValueError: if the channels cannot be dealt to heads.
    """

    def __init__(
        self,
        channels: int,
        head_channels: int,
        norm: Callable[[int], GroupNorm] = GroupNorm,
        skip_scale: float = 1.0,
    ) -> None:
        super().__init__()
        if channels % head_channels:
            raise InvalidValueError(
                f"Attention on {channels} channels cannot have heads of {head_channels}: "
                f"choose num_head_channels among the divisors of {channels}."
            )
        self.heads = channels // head_channels
        self.skip_scale = skip_scale
        self.norm = norm(channels)
        # Convolutions in name and shape, as in the checkpoints; applied as matrices, which keeps each token's channels
        # side by side for the attention kernel.
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj_out = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Transform features `(N, C, H, W)`."""
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        qkv = F.linear(tokens, self.qkv.weight.flatten(1), self.qkv.bias)
        q, k, v = qkv.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        h = F.linear(a, self.proj_out.weight.flatten(1), self.proj_out.bias)
        output: Tensor = x + h.transpose(1, 2).unflatten(2, x.shape[2:])
        return output if self.skip_scale == 1 else output * self.skip_scale


class Block(nn.ModuleList):
    """Layers one after the other; those that want the embedding get it."""

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Transform features `(N, C, H, W)` with the embeddings `(N, E)`."""
        for layer in self:
            x = layer(x, emb) if isinstance(layer, ResBlock) else layer(x)
        return x


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with all its parameters set to 0, so that its block starts as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _conv3(channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out_channels, 3, padding=1)
