"""Triton kernels of the fused normalisation; see `fused` for the equations.

A tile has pixels in its rows and channels in its columns, and all offsets come from strides, so that both memory
formats go through the same code. A pass over the image gives sums per channel and share of the pixels, a small one
turns these into what each channel is multiplied by and shifted by, and a last pass applies it. The shares do not depend
on the batch, and nothing is added up atomically: equal images give equal bits, in any batch and each time.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# ruff: noqa: N803 # Triton's constants are in capitals

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["add", "backward", "forward", "resize"]

TILE = 4096
"""Numbers that a program applies something to: 32 for each thread of 4 warps."""
ADDED = 2048
"""Numbers that a program adds up at a time; fewer, for the sums want registers too."""
SHARE = 128
"""Pixels that one program adds up, at most."""
PARTS = 64
"""Shares that are added up at a time, and that a small image has: it would else leave most of a GPU without work."""
WIDE = 32
"""Channels of a group from which on its sums are more than the registers of one warp hold."""
STAGES: tl.constexpr = tl.constexpr(3)
"""Tiles that are on their way while one is added up."""
FEW: dict[str, Any] = {"num_warps": 1, "enable_fp_fusion": True}
"""How a kernel of few numbers is compiled; with products and sums in one, which Triton will not do unless asked."""
MANY = FEW | {"num_warps": 4}
"""How one of many numbers is."""

for_batches = triton.jit(do_not_specialize=["images"])
"""Compile a kernel once for batches of all sizes: else again for 1 image, and for multiples of 16."""


def forward(
    x: Tensor,
    y: Tensor,
    weight: Tensor,
    bias: Tensor,
    push: Tensor | None,
    shift: Tensor | None,
    steer: Tensor | None,
    affine: Tensor,
    rates: Tensor,
    eps: float,
    silu: bool,
) -> None:
    """Fill `y`, `affine` and `rates`; see `fused.group_norm`. `x` and `y` are of the same memory format."""
    plan = _Plan(x, rates)
    sums = torch.empty(len(x), plan.parts, 2, plan.channels, device=x.device, dtype=torch.float32)
    _sum_features[plan.shares](x, sums, plan.parts, *plan.sizes, *_strides(x), **plan.added)
    _standardise[plan.groups, len(x)](
        x,
        sums,
        weight,
        bias,
        x if push is None else push,
        x if shift is None else shift,
        x if steer is None else steer,
        affine,
        rates,
        plan.parts,
        plan.channels // plan.groups,
        *plan.sizes,
        *_strides(x)[:2],
        eps,
        PUSHED=push is not None,
        SHIFTED=shift is not None,
        STEERED=steer is not None,
        PARTS=PARTS,
        **plan.group,
    )
    _apply[plan.tiles](x, y, affine, *plan.sizes, *_strides(x), *_strides(y), SILU=silu, **plan.tile)


def backward(
    slope: Tensor,
    x: Tensor,
    beside: Tensor | None,
    slopes: Sequence[Tensor],
    affine: Tensor,
    rates: Tensor,
    silu: bool,
) -> None:
    """Fill `slopes`, of one or two groups of channels of `x`; see `fused.fork`. All are of the same memory format."""
    plan = _Plan(x, rates)
    sums = torch.empty(len(x), plan.parts, 2, plan.channels, device=x.device, dtype=torch.float32)
    width = plan.channels // plan.groups
    _sum_slopes[plan.shares](
        slope,
        x,
        sums,
        affine,
        plan.parts,
        *plan.sizes,
        *_strides(slope),
        *_strides(x),
        SILU=silu,
        **plan.added,
    )
    means = torch.empty(2, *rates.shape, device=x.device, dtype=torch.float32)
    _average[plan.groups, len(x)](
        sums,
        rates,
        means,
        plan.parts,
        width,
        *plan.sizes,
        PARTS=PARTS,
        **plan.group,
    )
    first, *second = slopes
    _apply_slopes[plan.tiles](
        slope,
        x,
        x if beside is None else beside,
        first,
        *(second or [first]),
        affine,
        means,
        width,
        first.shape[1],
        *plan.sizes,
        *_strides(slope),
        *_strides(x),
        *_strides(x if beside is None else beside),
        *_strides(first),
        *_strides(*(second or [first])),
        SILU=silu,
        BESIDE=beside is not None,
        SPLIT=bool(second),
        **plan.tile,
    )


def add(a: Tensor, b: Tensor, first: Tensor, second: Tensor | None, y: Tensor) -> None:
    """Fill `y`; see `fused.add`. `a`, `b` and `y` are of the same memory format."""
    plan = _Plan(a)
    strides = (*_strides(a), *_strides(b), *_strides(y))
    shifts = (first, first if second is None else second)
    _add[plan.tiles](a, b, *shifts, y, *plan.sizes, *strides, TWICE=second is not None, **plan.tile)


def resize(x: Tensor, y: Tensor, divisor: int) -> None:
    """Fill `y`, twice or half as high and wide as `x`; see `fused.halve`. Both are of the same memory format."""
    up = y.shape[3] > x.shape[3]
    small, large = (x, y) if up else (y, x)
    plan = _Plan(small)
    _resize[plan.tiles](
        small, large, *plan.sizes, small.shape[3], *_strides(small), *_strides(large), 1 / divisor, UP=up, **plan.tile
    )


class _Plan:
    """How an image is dealt to programs."""

    def __init__(self, x: Tensor, rates: Tensor | None = None) -> None:
        images, self.channels, *shape = x.shape
        pixels = shape[0] * shape[1]
        self.groups = 1 if rates is None else rates.shape[1]
        self.sizes = images, self.channels, pixels
        side_by_side = x.stride(1) == 1
        columns = min(triton.next_power_of_2(self.channels), 256 if side_by_side else 4)
        rows, added = (min(triton.next_power_of_2(pixels), size // columns) for size in (TILE, ADDED))
        self.tile = MANY | {"ROWS": rows, "COLUMNS": columns}
        self.added = self.tile | {"ROWS": added}
        block = triton.next_power_of_2(self.channels // self.groups)
        self.group = (FEW if block < WIDE else MANY) | {"BLOCK": block}
        self.parts = triton.cdiv(pixels, max(min(SHARE, pixels // PARTS), added))
        blocks = triton.cdiv(self.channels, columns)
        self.shares = (self.parts, blocks, images)
        self.tiles = (triton.cdiv(pixels, rows), blocks, images)


def _strides(x: Tensor) -> tuple[int, int, int]:
    """From image to image, channel to channel, pixel to pixel; a column of pixels alone may have any width."""
    return x.stride(0), x.stride(1), x.stride(3) if x.shape[3] > 1 else x.stride(2)


@triton.jit
def _tile(part, channels, pixels, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """The image, the channels and the pixels of a program's tile, and which numbers of it there are."""
    n = tl.program_id(2).to(tl.int64)
    c = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    p = part * ROWS + tl.arange(0, ROWS)
    return n, c, p, (p < pixels)[:, None] & (c < channels)[None, :]


@triton.jit
def _at(x, n, c, p, x_n, x_c, x_p):
    return x + n * x_n + c[None, :] * x_c + p[:, None] * x_p


@triton.jit
def _read(x, inside):
    return tl.load(x, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _affine(affine, n, c, images, channels):
    """What the channels are multiplied by, shifted by after that, and measured from."""
    factor = _read(affine + n * channels + c, c < channels)
    offset = _read(affine + (images + n) * channels + c, c < channels)
    centre = _read(affine + (2 * images + n) * channels + c, c < channels)
    return factor[None, :], offset[None, :], centre[None, :]


@for_batches
def _sum_features(x, sums, parts, images, channels, pixels, x_n, x_c, x_p, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    # Of the distances to the first pixel, for a sum of squares loses what the mean is large against.
    part = tl.program_id(0)
    n, c, row, _ = _tile(0, channels, pixels, ROWS, COLUMNS)
    origin = _read(x + n * x_n + c * x_c, c < channels)
    first = tl.zeros([ROWS, COLUMNS], dtype=tl.float32)
    second = tl.zeros([ROWS, COLUMNS], dtype=tl.float32)
    share = tl.cdiv(pixels, parts)
    for start in tl.range(0, share, ROWS, num_stages=STAGES):
        p = part * share + start + row
        inside = ((start + row < share) & (p < pixels))[:, None] & (c < channels)[None, :]
        distance = tl.where(inside, _read(_at(x, n, c, p, x_n, x_c, x_p), inside) - origin[None, :], 0.0)
        first += distance
        second += distance * distance
    out = sums + ((n * parts + part) * 2) * channels + c
    tl.store(out, tl.sum(first, 0), mask=c < channels)
    tl.store(out + channels, tl.sum(second, 0), mask=c < channels)


@triton.jit
def _added(sums, n, parts, channels, c, inside, PARTS: tl.constexpr, BLOCK: tl.constexpr):
    first = tl.zeros([PARTS, BLOCK], dtype=tl.float32)
    second = tl.zeros([PARTS, BLOCK], dtype=tl.float32)
    for start in range(0, parts, PARTS):
        part = start + tl.arange(0, PARTS)
        mask = (part < parts)[:, None] & inside[None, :]
        at = sums + ((n * parts + part) * 2)[:, None] * channels + c[None, :]
        first += tl.load(at, mask=mask, other=0.0)
        second += tl.load(at + channels, mask=mask, other=0.0)
    return tl.sum(first, 0), tl.sum(second, 0)


@for_batches
def _standardise(
    x,
    sums,
    weight,
    bias,
    push,
    shift,
    steer,
    affine,
    rates,
    parts,
    width,
    images,
    channels,
    pixels,
    x_n,
    x_c,
    eps,
    PUSHED: tl.constexpr,
    SHIFTED: tl.constexpr,
    STEERED: tl.constexpr,
    PARTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    group, groups, n = tl.program_id(0), tl.num_programs(0), tl.program_id(1).to(tl.int64)
    inside = tl.arange(0, BLOCK) < width
    c = group * width + tl.arange(0, BLOCK)
    first, second = _added(sums, n, parts, channels, c, inside, PARTS, BLOCK)
    origin = tl.load(x + n * x_n + c * x_c, mask=inside, other=0.0).to(tl.float32)
    added = tl.zeros([BLOCK], dtype=tl.float32)
    if PUSHED:
        added = tl.load(push + n * channels + c, mask=inside, other=0.0).to(tl.float32)
    if SHIFTED:
        added += tl.load(shift + c, mask=inside, other=0.0).to(tl.float32)
    own = origin + added + first / pixels
    mean = tl.sum(tl.where(inside, own, 0.0), 0) / width
    off = tl.where(inside, own - mean, 0.0)
    variance = tl.sum((second - first * first / pixels) / pixels + off * off, 0) / width
    rate = 1 / tl.sqrt_rn(variance + eps)
    factor = tl.load(weight + c, mask=inside, other=0.0).to(tl.float32)
    offset = tl.load(bias + c, mask=inside, other=0.0).to(tl.float32)
    if STEERED:
        scale = 1 + tl.load(steer + n * 2 * channels + c, mask=inside, other=0.0).to(tl.float32)
        shift = tl.load(steer + n * 2 * channels + channels + c, mask=inside, other=0.0).to(tl.float32)
        factor = factor * scale
        offset = offset * scale + shift
    out = affine + n * channels + c
    tl.store(out, factor * rate, mask=inside)
    tl.store(out + images * channels, offset, mask=inside)
    tl.store(out + 2 * images * channels, mean - added, mask=inside)
    tl.store(rates + n * groups + group, rate)


@for_batches
def _apply(
    x,
    y,
    affine,
    images,
    channels,
    pixels,
    x_n,
    x_c,
    x_p,
    y_n,
    y_c,
    y_p,
    SILU: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    n, c, p, inside = _tile(tl.program_id(0), channels, pixels, ROWS, COLUMNS)
    factor, offset, centre = _affine(affine, n, c, images, channels)
    z = (_read(_at(x, n, c, p, x_n, x_c, x_p), inside) - centre) * factor + offset
    if SILU:
        z = z * tl.sigmoid(z)
    tl.store(_at(y, n, c, p, y_n, y_c, y_p), z.to(y.dtype.element_ty), mask=inside)


@triton.jit
def _pulled(slope, centred, factor, offset, SILU: tl.constexpr):
    """The slope with respect to the standardised features, times their rate."""
    if SILU:
        z = centred * factor + offset
        gate = tl.sigmoid(z)
        slope = slope * gate * (1 + z * (1 - gate))
    return slope * factor


@for_batches
def _sum_slopes(
    slope,
    x,
    sums,
    affine,
    parts,
    images,
    channels,
    pixels,
    g_n,
    g_c,
    g_p,
    x_n,
    x_c,
    x_p,
    SILU: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    part = tl.program_id(0)
    n, c, row, _ = _tile(0, channels, pixels, ROWS, COLUMNS)
    factor, offset, centre = _affine(affine, n, c, images, channels)
    first = tl.zeros([ROWS, COLUMNS], dtype=tl.float32)
    second = tl.zeros([ROWS, COLUMNS], dtype=tl.float32)
    share = tl.cdiv(pixels, parts)
    for start in tl.range(0, share, ROWS, num_stages=STAGES):
        p = part * share + start + row
        inside = ((start + row < share) & (p < pixels))[:, None] & (c < channels)[None, :]
        centred = _read(_at(x, n, c, p, x_n, x_c, x_p), inside) - centre
        pulled = _pulled(_read(_at(slope, n, c, p, g_n, g_c, g_p), inside), centred, factor, offset, SILU)
        first += pulled
        second += pulled * centred
    out = sums + ((n * parts + part) * 2) * channels + c
    tl.store(out, tl.sum(first, 0), mask=c < channels)
    tl.store(out + channels, tl.sum(second, 0), mask=c < channels)


@for_batches
def _average(sums, rates, means, parts, width, images, channels, pixels, PARTS: tl.constexpr, BLOCK: tl.constexpr):
    group, groups, n = tl.program_id(0), tl.num_programs(0), tl.program_id(1).to(tl.int64)
    inside = tl.arange(0, BLOCK) < width
    c = group * width + tl.arange(0, BLOCK)
    first, second = _added(sums, n, parts, channels, c, inside, PARTS, BLOCK)
    rate = tl.load(rates + n * groups + group)
    tl.store(means + n * groups + group, tl.sum(first, 0) / pixels / width)
    tl.store(means + (images + n) * groups + group, rate * rate * (tl.sum(second, 0) / pixels / width))


@for_batches
def _apply_slopes(
    slope,
    x,
    beside,
    dx,
    rest,
    affine,
    means,
    width,
    split,
    images,
    channels,
    pixels,
    g_n,
    g_c,
    g_p,
    x_n,
    x_c,
    x_p,
    b_n,
    b_c,
    b_p,
    d_n,
    d_c,
    d_p,
    r_n,
    r_c,
    r_p,
    SILU: tl.constexpr,
    BESIDE: tl.constexpr,
    SPLIT: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    n, c, p, inside = _tile(tl.program_id(0), channels, pixels, ROWS, COLUMNS)
    factor, offset, centre = _affine(affine, n, c, images, channels)
    group = n * (channels // width) + c // width
    first = _read(means + group, c < channels)
    second = _read(means + images * (channels // width) + group, c < channels)
    centred = _read(_at(x, n, c, p, x_n, x_c, x_p), inside) - centre
    pulled = _pulled(_read(_at(slope, n, c, p, g_n, g_c, g_p), inside), centred, factor, offset, SILU)
    result = pulled - first[None, :] - centred * second[None, :]
    if BESIDE:
        result += _read(_at(beside, n, c, p, b_n, b_c, b_p), inside)
    result = result.to(dx.dtype.element_ty)
    tl.store(_at(dx, n, c, p, d_n, d_c, d_p), result, mask=inside & (c < split)[None, :])
    if SPLIT:
        tl.store(_at(rest, n, c - split, p, r_n, r_c, r_p), result, mask=inside & (c >= split)[None, :])


@for_batches
def _add(
    a,
    b,
    first,
    second,
    y,
    images,
    channels,
    pixels,
    a_n,
    a_c,
    a_p,
    b_n,
    b_c,
    b_p,
    y_n,
    y_c,
    y_p,
    TWICE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    n, c, p, inside = _tile(tl.program_id(0), channels, pixels, ROWS, COLUMNS)
    total = _read(_at(a, n, c, p, a_n, a_c, a_p), inside) + _read(_at(b, n, c, p, b_n, b_c, b_p), inside)
    total += _read(first + c, c < channels)[None, :]
    if TWICE:
        total += _read(second + c, c < channels)[None, :]
    tl.store(_at(y, n, c, p, y_n, y_c, y_p), total.to(y.dtype.element_ty), mask=inside)


@for_batches
def _resize(
    small,
    large,
    images,
    channels,
    pixels,
    columns,
    s_n,
    s_c,
    s_p,
    l_n,
    l_c,
    l_p,
    factor,
    UP: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    n, c, p, inside = _tile(tl.program_id(0), channels, pixels, ROWS, COLUMNS)
    one = _at(small, n, c, p, s_n, s_c, s_p)
    four = _at(large, n, c, 4 * columns * (p // columns) + 2 * (p % columns), l_n, l_c, l_p)
    value = tl.zeros([ROWS, COLUMNS], dtype=tl.float32)
    if UP:
        value = _read(one, inside) * factor
    for down in tl.static_range(2):
        for right in tl.static_range(2):
            corner = four + (2 * columns * down + right) * l_p
            if UP:
                tl.store(corner, value.to(large.dtype.element_ty), mask=inside)
            else:
                value += _read(corner, inside)
    if not UP:
        tl.store(one, (value * factor).to(small.dtype.element_ty), mask=inside)
