"""The layers of the ADM U-Net (Dhariwal and Nichol, "Diffusion Models Beat GANs on Image Synthesis", 2021).

With `GN` a group normalisation over 32 groups and `e` the embedding of noise level and class:

    residual     x + Conv(SiLU(GN(Conv(SiLU(GN(x))) + Linear(SiLU(e)))))
                 x + Conv(SiLU((1 + s) GN(Conv(SiLU(GN(x)))) + b)),    (s, b) = Linear(SiLU(e))
    attention    x + P softmax(Q^T K / sqrt(d)) V,    (Q, K, V) = W GN(x)

Parameter names are those of the published checkpoints. The layout of the attention's channels is [Q | K | V], each
with its heads one after the other: contiguous thirds, unlike the guided-diffusion checkpoints of the same architecture.

What is written here is PyTorch's own, and the reference; `fuse` lets a frozen network take `fused` instead where that
fits.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dis_lightning.errors import InvalidValueError
from dis_lightning.priors.networks import fused

__all__ = ["AttentionBlock", "Block", "Conv2d", "Doubling", "GroupNorm", "Halving", "ResBlock", "fuse", "zeroed"]

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

    fused = False

    def __init__(self, channels: int, min_channels: int = 1, eps: float = 1e-5) -> None:
        groups = max(1, min(GROUPS, channels // min_channels))
        if channels % groups:
            raise InvalidValueError(f"{channels} channels cannot be dealt to {groups} groups: choose a multiple of 32.")
        super().__init__(groups, channels, eps)

    def forward(
        self,
        x: Tensor,
        push: Tensor | None = None,
        shift: Tensor | None = None,
        steer: Tensor | None = None,
        silu: bool = False,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Push, normalise, steer and activate: `f((1 + s) GN(x + e + k) + b)`.

        Args:
            x: features, `(N, C, H, W)`.
            push: `e`, `(N, C)`, or None for zeros.
            shift: `k`, `(C,)`, the bias that a convolution has left, or None.
            steer: `(s, b)`, `(N, 2 C)`, or None for zeros.
            silu: whether `f` is SiLU, or the identity.
            dtype: type of the result; None for that of `x`.
        """
        dtype = dtype or x.dtype
        moves = (self.weight, self.bias, push, shift, steer)
        if self.fused and fused.fits(x, *moves):
            return fused.group_norm(x, *moves, self.num_groups, self.eps, silu, dtype)
        if push is not None:
            x = x + push.to(x.dtype)[:, :, None, None]
        if shift is not None:
            x = x + shift.to(x.dtype)[:, None, None]
        h = super().forward(x.to(self.weight.dtype)).to(dtype)
        if steer is not None:
            scale, offset = steer.to(dtype)[:, :, None, None].chunk(2, dim=1)
            h = h * (1 + scale) + offset
        return F.silu(h) if silu else h

    def fork(self, x: Tensor, skip: Tensor | None = None, silu: bool = False) -> tuple[Tensor, Tensor]:
        """Join features, and normalise and activate them for the one branch of a block.

        Args:
            x: features, `(N, C_1, H, W)`.
            skip: features that come after them, `(N, C_2, H, W)`, or None.
            silu: whether to activate.

        Returns:
            `f(GN([x, skip]))`, and `[x, skip]` itself for the other branch; fused, their slopes meet in one kernel.
        """
        if self.fused and fused.fits(x, self.weight, self.bias):
            return fused.fork(x, skip, self.weight, self.bias, self.num_groups, self.eps, silu)
        if skip is not None:
            x = torch.cat([x, skip], dim=1)
        return self(x, silu=silu), x


class Conv2d(nn.Conv2d):
    """A convolution that, fused and frozen, keeps nothing but its weights for the gradient of its input."""

    fused = False

    def forward(self, x: Tensor) -> Tensor:
        """Convolve `x`, `(N, C, H, W)`."""
        if self.fused and torch.is_grad_enabled() and x.requires_grad and not self.weight.requires_grad:
            return fused.conv2d(x, self.weight, self.bias, self.padding)
        return super().forward(x)

    def bare(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Convolve `x`, `(N, C, H, W)`, and, fused, leave the bias, which comes along, to the layer that is next."""
        if self.fused and fused.fits(x, self.weight, self.bias):
            return fused.conv2d(x, self.weight, None, self.padding), self.bias
        return self(x), None


class Halving(nn.AvgPool2d):
    """The average of 2 x 2 pixels, which, fused, keeps nothing for the gradient of its input."""

    fused = False

    def __init__(self) -> None:
        super().__init__(2)

    def forward(self, x: Tensor) -> Tensor:
        """Halve height and width of `x`, `(N, C, H, W)`."""
        return fused.halve(x) if self.fused else super().forward(x)


class Doubling(nn.Upsample):
    """Each pixel 2 x 2 times."""

    fused = False

    def __init__(self) -> None:
        super().__init__(scale_factor=2)

    def forward(self, x: Tensor) -> Tensor:
        """Double height and width of `x`, `(N, C, H, W)`."""
        return fused.double(x) if self.fused else super().forward(x)


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
        self.skip_connection = nn.Identity() if same else Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor, emb: Tensor, skip: Tensor | None = None) -> Tensor:
        """Transform features `(N, C, H, W)`, in one piece or in two, with the embeddings `(N, E)`."""
        # The activations stand in the sequences for the parameters' names, and are left to the normalisation.
        norm, _, conv = self.in_layers
        assert isinstance(norm, GroupNorm)
        h, x = norm.fork(x, skip, silu=True)
        h, bias = _bare(conv, self.resample(h))
        e: Tensor = self.emb_layers(emb)
        norm, _, dropout, conv = self.out_layers
        h = norm(h, **{"steer" if self.scale_shift else "push": e}, shift=bias, silu=True)
        output = _sum(_bare(self.skip_connection, self.resample(x)), _bare(conv, dropout(h)))
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
        self.qkv = Conv2d(channels, 3 * channels, 1)
        self.proj_out = zeroed(Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Transform features `(N, C, H, W)`."""
        h, x = self.norm.fork(x)
        tokens = h.flatten(2).transpose(1, 2)
        qkv = F.linear(tokens, self.qkv.weight.flatten(1), self.qkv.bias)
        q, k, v = qkv.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        h = F.linear(a, self.proj_out.weight.flatten(1), self.proj_out.bias)
        output: Tensor = x + h.transpose(1, 2).unflatten(2, x.shape[2:])
        return output if self.skip_scale == 1 else output * self.skip_scale


class Block(nn.ModuleList):
    """Layers one after the other; those that want the embedding get it."""

    def forward(self, x: Tensor, emb: Tensor, skip: Tensor | None = None) -> Tensor:
        """Transform features `(N, C, H, W)`, for a `ResBlock` in one piece or in two, with embeddings `(N, E)`."""
        for layer in self:
            x = layer(x, emb, skip) if isinstance(layer, ResBlock) else layer(x)
            skip = None
        return x


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with all its parameters set to 0, so that its block starts as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def fuse(network: nn.Module) -> None:
    """Let a network take the layers of `fused`, and lie in memory with its channels side by side; in place.

    Where they do not fit (no GPU, weights that learn) it computes as before, but for the rounding of another order in
    memory.
    """
    for layer in network.modules():
        if isinstance(layer, GroupNorm | Conv2d | Halving | Doubling):
            layer.fused = True
    network.to(memory_format=torch.channels_last)


def _bare(layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor | None]:
    return layer.bare(x) if isinstance(layer, Conv2d) else (layer(x), None)


def _sum(*branches: tuple[Tensor, Tensor | None]) -> Tensor:
    """The sum of two branches, each with the bias that is left to add, or None."""
    (a, b), shifts = zip(*branches, strict=True)
    left = [shift for shift in shifts if shift is not None]
    return fused.add(a, b, *left) if left else a + b


def _conv3(channels: int, out_channels: int) -> Conv2d:
    return Conv2d(channels, out_channels, 3, padding=1)
