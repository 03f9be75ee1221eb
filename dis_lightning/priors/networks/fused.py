"""Layers of a frozen network that save and move less: for gradients with respect to the image alone.

    normalisation    y = f((1 + s) (w xhat + b) + t),    xhat = (x + e + k - mean) rate,    f = SiLU or the identity
                       = f(a (x - c) + d)    with a, c and d per image and channel
                     dx = u - E[u] - xhat E[u xhat],    u = f'(a (x - c) + d) a dy,    E over the pixels of a group
    fork             (y, x),    x = [x_1, x_2],    (dx_1, dx_2) = [...] + the slope that comes back with x
    convolution      y = W x [+ k],    dx = W^T dy
    sum              y = a + b + k_1 + k_2
    halving          y = the mean of 2 x 2 pixels,    dx = dy / 4 for each of them; doubling the other way round

The normalisation, with the embedding's shift before it, `e`, or scale and shift after it, `s` and `t`, is one
operation, in Triton; its statistics are in float32 whatever comes in. Of it only `x` and a few numbers per channel are
kept for the way back, of a convolution nothing but its weights, where PyTorch's own layers keep every intermediate.
Where a block forks, into a branch that begins with a normalisation and one that skips it, the slopes of both are added
in the kernel that has them at hand, and given to the features that were joined, each in a piece of its own. A bias of
a convolution, `k`, which would be a pass over its result, is left to the normalisation or the sum that comes next.
Sums and changes of size are left to the compiler where there is one, which joins them with what is around them.
"""

import os
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["add", "conv2d", "double", "fits", "fork", "group_norm", "halve"]

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
    shift: Tensor | None,
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
        shift: what is added to those of all images first, `(C,)`, or None.
        steer: scale and shift of each image after the normalisation, `(N, 2 C)`, or None.
        groups: number of groups, a divisor of C.
        eps: what is added to a variance.
        silu: whether to activate.
        dtype: type of the result; None for that of `x`.

    Returns:
        `y`, in the memory format of `x`. Differentiable with respect to `x` alone.
    """
    y: Tensor
    y, *_ = _Normalisation.apply(x, None, weight, bias, push, shift, steer, groups, eps, silu, dtype or x.dtype)
    return y


def fork(
    x: Tensor, skip: Tensor | None, weight: Tensor, bias: Tensor, groups: int, eps: float, silu: bool
) -> tuple[Tensor, Tensor]:
    """Join features, and normalise them for the one branch of a block.

    Args:
        x: features, `(N, C_1, H, W)`; as for `group_norm`.
        skip: features that come after them, `(N, C_2, H, W)`, or None.
        weight: factors per channel of both, `(C,)`.
        bias: shifts per channel, `(C,)`.
        groups: number of groups, a divisor of C.
        eps: what is added to a variance.
        silu: whether to activate.

    Returns:
        `y`, and the features themselves, for the other branch, `(N, C, H, W)`. Differentiable with respect to `x` and
        `skip`.
    """
    y, both, *_ = _Normalisation.apply(x, skip, weight, bias, None, None, None, groups, eps, silu, x.dtype)
    return y, both


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, padding: Any) -> Tensor:
    """Convolve with frozen weights, at stride 1; differentiable with respect to `x` alone, which is not kept."""
    y: Tensor = _Convolution.apply(x, weight, bias, padding)
    return y


def add(a: Tensor, b: Tensor, first: Tensor, second: Tensor | None = None) -> Tensor:
    """Add features, `(N, C, H, W)` of one type, and one or two shifts per channel, `(C,)`."""
    if torch.compiler.is_compiling():
        total = a + b + first.to(a.dtype)[:, None, None]
        return total if second is None else total + second.to(a.dtype)[:, None, None]
    y: Tensor = _add(a, b, first, second)
    return y


def halve(x: Tensor) -> Tensor:
    """Average 2 x 2 pixels; `x`, `(N, C, H, W)` of even height and width, is not kept."""
    y: Tensor = _Resizing.apply(x, False)
    return y


def double(x: Tensor) -> Tensor:
    """Repeat each pixel of `x`, `(N, C, H, W)`, 2 x 2 times."""
    y: Tensor = _Resizing.apply(x, True)
    return y


class _Normalisation(torch.autograd.Function):
    @staticmethod
    def forward(  # each argument by name: for torch 2.11 compiles no function of `*more` without gradients
        x: Tensor,
        skip: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        push: Tensor | None,
        shift: Tensor | None,
        steer: Tensor | None,
        groups: int,
        eps: float,
        silu: bool,
        dtype: torch.dtype,
    ) -> tuple[Tensor, ...]:
        both = x.view_as(x) if skip is None else torch.cat([x, skip], dim=1)
        y, affine, rates = _group_norm(both, weight, bias, push, shift, steer, groups, eps, silu, dtype)
        return y, both, affine, rates

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, skip, *_, ctx.silu, _ = inputs
        _, *kept = output
        ctx.parts = [part.shape[1] for part in (x, skip) if part is not None]
        ctx.mark_non_differentiable(*kept[1:])
        ctx.save_for_backward(*kept)
        ctx.set_materialize_grads(False)  # zeros for what has no slope would be written for nothing

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor | None) -> tuple[Tensor | None, ...]:
        slope, beside, *_ = slopes
        if slope is not None:
            parts = _group_norm_backward(slope, *ctx.saved_tensors, ctx.silu, beside, ctx.parts)
        else:
            parts = [] if beside is None else list(beside.split(ctx.parts, dim=1))
        return *parts, *[None] * (11 - len(parts))


class _Resizing(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, up: bool) -> Tensor:
        return _resized(x, up, 1 if up else 4)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.up = inputs

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        return _resized(slopes[0], not ctx.up, 1 if ctx.up else 4), None


def _resized(x: Tensor, up: bool, divisor: int) -> Tensor:
    """Each pixel 2 x 2 times, or the sums of 2 x 2 pixels, divided."""
    if fits(x) and not torch.compiler.is_compiling():
        y: Tensor = _resize(x, up, divisor)
        return y
    return F.interpolate(x / divisor, scale_factor=2.0) if up else F.avg_pool2d(x, 2, divisor_override=divisor)


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
    shift: Tensor | None,
    steer: Tensor | None,
    groups: int,
    eps: float,
    silu: bool,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    from dis_lightning.priors.networks import fused_kernels  # Triton is not everywhere

    x = x.contiguous(memory_format=_format(x))
    y, affine, rates = _outputs(x, groups, dtype)
    push, steer = (None if each is None else each.contiguous() for each in (push, steer))
    with torch.cuda.device_of(x):
        fused_kernels.forward(x, y, weight, bias, push, shift, steer, affine, rates, eps, silu)
    return y, affine, rates


@torch.library.custom_op("dis_lightning::group_norm_backward", mutates_args=())
def _group_norm_backward(
    slope: Tensor, x: Tensor, affine: Tensor, rates: Tensor, silu: bool, beside: Tensor | None, parts: list[int]
) -> list[Tensor]:
    from dis_lightning.priors.networks import fused_kernels

    x = x.contiguous(memory_format=_format(x))
    slope = slope.contiguous(memory_format=_format(x))
    beside = None if beside is None else beside.contiguous(memory_format=_format(x))
    slopes = _parts(x, parts)
    with torch.cuda.device_of(x):
        fused_kernels.backward(slope, x, beside, slopes, affine, rates, silu)
    return slopes


@_group_norm.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    push: Tensor | None,
    shift: Tensor | None,
    steer: Tensor | None,
    groups: int,
    eps: float,
    silu: bool,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    return _outputs(x, groups, dtype)


@_group_norm_backward.register_fake
def _(
    slope: Tensor, x: Tensor, affine: Tensor, rates: Tensor, silu: bool, beside: Tensor | None, parts: list[int]
) -> list[Tensor]:
    return _parts(x, parts)


@torch.library.custom_op("dis_lightning::add", mutates_args=())
def _add(a: Tensor, b: Tensor, first: Tensor, second: Tensor | None) -> Tensor:
    from dis_lightning.priors.networks import fused_kernels

    a, b = (each.contiguous(memory_format=_format(a)) for each in (a, b))
    y = torch.empty_like(a)
    with torch.cuda.device_of(a):
        fused_kernels.add(a, b, first, second, y)
    return y


@_add.register_fake
def _(a: Tensor, b: Tensor, first: Tensor, second: Tensor | None) -> Tensor:
    return torch.empty_like(a, memory_format=_format(a))


_add.register_autograd(lambda ctx, slope: (slope, slope, None, None))


@torch.library.custom_op("dis_lightning::resize", mutates_args=())
def _resize(x: Tensor, up: bool, divisor: int) -> Tensor:
    from dis_lightning.priors.networks import fused_kernels

    x = x.contiguous(memory_format=_format(x))
    y = _sized(x, up)
    with torch.cuda.device_of(x):
        fused_kernels.resize(x, y, divisor)
    return y


@_resize.register_fake
def _(x: Tensor, up: bool, divisor: int) -> Tensor:
    return _sized(x, up)


def _sized(x: Tensor, up: bool) -> Tensor:
    """Room for twice or half the height and width."""
    height, width = (2 * side if up else side // 2 for side in x.shape[2:])
    shape = (*x.shape[:2], height, width)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=_format(x))


def _outputs(x: Tensor, groups: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    images, channels = x.shape[:2]
    y = torch.empty_like(x, dtype=dtype, memory_format=_format(x))
    affine = torch.empty(3, images, channels, device=x.device, dtype=torch.float32)
    rates = torch.empty(images, groups, device=x.device, dtype=torch.float32)
    return y, affine, rates


def _parts(x: Tensor, channels: list[int]) -> list[Tensor]:
    """Room for the slopes of the features that were joined to `x`, each in its memory format."""
    return [torch.empty_like(part, memory_format=_format(x)) for part in x.split(channels, dim=1)]


def _format(x: Tensor) -> torch.memory_format:
    """Contiguous where it is, else channels last."""
    return torch.contiguous_format if x.is_contiguous() else torch.channels_last
