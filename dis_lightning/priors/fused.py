"""Layers of a frozen network that save and move less: for gradients with respect to the image alone.

    normalisation    y = f((1 + s) (w xhat + b) + t),    xhat = (x + e - mean) rate,    f = SiLU or the identity
                       = f(a (x - c) + d)    with a, c and d per image and channel
                     dx = u - E[u] - xhat E[u xhat],    u = f'(a (x - c) + d) a dy,    E over the pixels of a group
    convolution      dx = W^T dy

The normalisation, with the embedding's shift before it, `e`, or scale and shift after it, `s` and `t`, is one
operation, in Triton; its statistics are in float32 whatever comes in. Of it only `x` and a few numbers per channel are
kept for the way back, of a convolution nothing but its weights, where PyTorch's own layers keep every intermediate.
"""

import os
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["conv2d", "fits", "group_norm", "halve"]

TRITON = find_spec("triton") is not None
"""Whether Triton is here: it comes with PyTorch for GPUs on Linux."""


def fits(x: Tensor, *frozen: Tensor | None) -> bool:
    """Whether the fused normalisation can be used: on a GPU with Triton, and with nothing but `x` to differentiate.

    Triton's interpreter, which the environment variable TRITON_INTERPRET=1 asks for, counts as a GPU.
    """
    learns = torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in frozen)
    return TRITON and not learns and (x.is_cuda or os.environ.get("TRITON_INTERPRET") == "1")


def group_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    push: Tensor | None,
    steer: Tensor | None,
    groups: int,
    eps: float,
    silu: bool,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Normalise, steer and activate.

    Args:
        x: features, `(N, C, H, W)`, in float32, bfloat16 or float16, in either memory format.
        weight: factors per channel, `(C,)`.
        bias: shifts per channel, `(C,)`.
        push: what is added to the features of each image first, `(N, C)`, or None.
        steer: scale and shift of each image after the normalisation, `(N, 2 C)`, or None.
        groups: number of groups, a divisor of C.
        eps: what is added to a variance.
        silu: whether to activate.
        dtype: type of the result; None for that of `x`.

    Returns:
        `y`, in the memory format of `x`. Differentiable with respect to `x` alone.
    """
    y: Tensor = _group_norm(x, weight, bias, push, steer, groups, eps, silu, dtype or x.dtype)[0]
    return y


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, padding: Any) -> Tensor:
    """Convolve with frozen weights, at stride 1; differentiable with respect to `x` alone, which is not kept."""
    y: Tensor = _Convolution.apply(x, weight, bias, padding)
    return y


def halve(x: Tensor) -> Tensor:
    """Average 2 x 2 pixels; `x`, `(N, C, H, W)` of even height and width, is not kept."""
    y: Tensor = _Halving.apply(x)
    return y


class _Halving(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        return F.interpolate(slopes[0] / 4, scale_factor=2.0)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, padding: Any) -> Tensor:
        return F.conv2d(x, weight, bias, padding=padding)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, weight, _, ctx.padding = inputs
        ctx.save_for_backward(weight)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        # `convolution_backward` would turn the slopes to the memory format of an input that is not here, and back.
        return F.conv_transpose2d(slopes[0], weight, padding=ctx.padding), None, None, None


@torch.library.custom_op("dis_lightning::group_norm", mutates_args=())
def _group_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    push: Tensor | None,
    steer: Tensor | None,
    groups: int,
    eps: float,
    silu: bool,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    from dis_lightning.priors import fused_kernels  # Triton is not everywhere

    x = x.contiguous(memory_format=_format(x))
    y, affine, rates = _outputs(x, groups, dtype)
    push, steer = (None if each is None else each.contiguous() for each in (push, steer))
    with torch.cuda.device_of(x):
        fused_kernels.forward(x, y, weight, bias, push, steer, affine, rates, eps, silu)
    return y, affine, rates


@torch.library.custom_op("dis_lightning::group_norm_backward", mutates_args=())
def _group_norm_backward(slope: Tensor, x: Tensor, affine: Tensor, rates: Tensor, silu: bool) -> Tensor:
    from dis_lightning.priors import fused_kernels

    x = x.contiguous(memory_format=_format(x))
    slope = slope.contiguous(memory_format=_format(x))
    dx = torch.empty_like(x)
    with torch.cuda.device_of(x):
        fused_kernels.backward(slope, x, dx, affine, rates, silu)
    return dx


@_group_norm.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    push: Tensor | None,
    steer: Tensor | None,
    groups: int,
    eps: float,
    silu: bool,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    return _outputs(x, groups, dtype)


@_group_norm_backward.register_fake
def _(slope: Tensor, x: Tensor, affine: Tensor, rates: Tensor, silu: bool) -> Tensor:
    return torch.empty_like(x, memory_format=_format(x))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, *_, ctx.silu, _ = inputs
    _, affine, rates = output
    ctx.save_for_backward(x, affine, rates)


def _pull_back(ctx: Any, slope: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    return _group_norm_backward(slope, *ctx.saved_tensors, ctx.silu), *[None] * 8


_group_norm.register_autograd(_pull_back, setup_context=_keep)


def _outputs(x: Tensor, groups: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    images, channels = x.shape[:2]
    y = torch.empty_like(x, dtype=dtype, memory_format=_format(x))
    affine = torch.empty(3, images, channels, device=x.device, dtype=torch.float32)
    rates = torch.empty(images, groups, device=x.device, dtype=torch.float32)
    return y, affine, rates


def _format(x: Tensor) -> torch.memory_format:
    """Contiguous where it is, else channels last."""
    return torch.contiguous_format if x.is_contiguous() else torch.channels_last
