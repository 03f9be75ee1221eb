"""What the fused normalisation gives, in Triton's interpreter: `TRITON_INTERPRET=1 python fused_cases.py`, as JSON.

A process of its own, because the interpreter is asked for before Triton is imported.
"""

import copy
import json
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from dis_lightning.priors import EDM, UNet
from dis_lightning.priors.networks.fused import add, double, fork, group_norm, halve

# Channels and pixels that fill no tile, few of them, several shares of the pixels, several blocks of channels.
SHAPES = {(2, 6, 3, 5): 3, (1, 4, 1, 2): 4, (1, 6, 20, 17): 2, (1, 288, 2, 2): 3}
FORMATS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
TYPES = (torch.float32, torch.bfloat16, torch.float16)
WAYS = ("plain", "push", "steer")


def off(a: Tensor, b: Tensor, least: float = 0.0) -> float:
    """How far `a` is from `b`, relative to `b`, or to a norm that it is too small to be held against."""
    return float((a.double() - b.double()).norm() / b.double().norm().clamp_min(least))


def case(
    shape: tuple[int, ...],
    groups: int,
    memory: torch.memory_format,
    dtype: torch.dtype,
    way: str,
    device: torch.device | str = "cpu",
) -> list[Any]:
    """Errors of the value and of the slope against float64, and whether they come in the type and format of `x`."""
    torch.manual_seed(0)
    n, c = shape[:2]
    x, slope, weight, bias, push, shift, steer = (
        torch.randn(each, device=device) for each in (shape, shape, (c,), (c,), (n, c), (c,), (n, 2 * c))
    )
    x, slope = ((2 * x + 3).to(dtype).contiguous(memory_format=memory).requires_grad_(), slope.to(dtype))
    moves = (push if way == "push" else None, shift if way != "plain" else None, steer if way == "steer" else None)
    y = group_norm(x, weight, bias, *moves, groups, 1e-5, way != "plain")
    (dx,) = torch.autograd.grad(y, x, slope)

    exact = x.detach().double().requires_grad_()
    z = exact + push.double()[:, :, None, None] if way == "push" else exact
    z = z if way == "plain" else z + shift.double()[:, None, None]
    z = F.group_norm(z, groups, weight.double(), bias.double(), 1e-5)
    if way == "steer":
        scale, offset = steer.double()[:, :, None, None].chunk(2, dim=1)
        z = z * (1 + scale) + offset
    z = z if way == "plain" else F.silu(z)
    (wanted,) = torch.autograd.grad(z, exact, slope.double())
    fits = all(each.dtype == dtype and each.is_contiguous(memory_format=memory) for each in (y, dx))
    return [str(dtype), off(y.detach(), z.detach()), off(dx, wanted, float(slope.norm()) / 10), fits]


def forked(
    shape: tuple[int, ...],
    groups: int,
    memory: torch.memory_format,
    first: int,
    silu: bool,
    device: torch.device | str = "cpu",
) -> list[float]:
    """Errors of a fork, its value and slopes, of features that come in one piece or in two."""
    torch.manual_seed(0)
    whole, slope, beside = torch.randn(3, *shape, device=device).unbind()
    weight, bias = torch.randn(2, shape[1], device=device)
    pieces = [piece.contiguous(memory_format=memory) for piece in whole.split([first, shape[1] - first], dim=1)]
    pieces = [piece.requires_grad_() for piece in pieces if piece.numel()]
    y, both = fork(*[*pieces, None][:2], weight, bias, groups, 1e-5, silu)
    slopes = torch.autograd.grad([y, both], pieces, [slope, beside])
    assert torch.equal(both, whole)
    assert all(each.is_contiguous(memory_format=memory) for each in slopes)

    exact = whole.double().requires_grad_()
    z = F.group_norm(exact, groups, weight.double(), bias.double(), 1e-5)
    z = F.silu(z) if silu else z
    (wanted,) = torch.autograd.grad([z, exact], exact, [slope.double(), beside.double()])
    return [off(y.detach(), z.detach()), off(torch.cat(slopes, dim=1), wanted)]


def added(
    shape: tuple[int, ...],
    memory: torch.memory_format,
    dtype: torch.dtype,
    shifts: int,
    device: torch.device | str = "cpu",
) -> float:
    """The error of a sum over what rounding to its type, after sums in float32, allows; slopes go on as they are."""
    torch.manual_seed(0)
    a, b = (part.to(dtype).contiguous(memory_format=memory) for part in torch.randn(2, *shape, device=device))
    left = torch.randn(shifts, shape[1], device=device).to(dtype).unbind()
    y = add(a.requires_grad_(), b.requires_grad_(), *left)
    slope = torch.randn_like(y)
    assert all(torch.equal(each, slope) for each in torch.autograd.grad(y, [a, b], slope))
    parts = [a.double(), b.double(), *(each.double()[:, None, None] for each in left)]
    exact, size = sum(parts), sum(part.abs() for part in parts)
    allowed = torch.finfo(dtype).eps / 2 * exact.abs() + len(left) * torch.finfo(torch.float32).eps * size
    return float(((y.double() - exact).abs() / allowed).max())


def resized(memory: torch.memory_format, dtype: torch.dtype, device: torch.device | str = "cpu") -> list[float]:
    """Errors of halving and doubling, and of the slopes of both, where PyTorch has them in float64."""
    torch.manual_seed(0)
    x = torch.randn(2, 5, 6, 4, device=device).to(dtype).contiguous(memory_format=memory).requires_grad_()
    errors = []
    for ours, theirs in ((halve, lambda x: F.avg_pool2d(x, 2)), (double, lambda x: F.interpolate(x, scale_factor=2.0))):
        exact = x.detach().double().requires_grad_()
        found, wanted = ours(x), theirs(exact)
        slope = torch.randn_like(found)
        assert found.is_contiguous(memory_format=memory)
        errors.append(off(found.detach(), wanted.detach()))
        errors.append(
            off(torch.autograd.grad(found, x, slope)[0], torch.autograd.grad(wanted, exact, slope.double())[0])
        )
    return errors


def column() -> float:
    """The error of a normalisation of a column of pixels, whose rows may be any distance apart."""
    x = torch.randn(2, 8, 1, 6, generator=torch.Generator().manual_seed(0)).transpose(2, 3)
    assert x.is_contiguous()
    assert x.stride(3) != 1
    weight, bias = torch.linspace(0.5, 2, 8), torch.linspace(-1, 1, 8)
    exact = F.group_norm(x.double(), 4, weight.double(), bias.double(), 1e-5)
    return off(group_norm(x, weight, bias, None, None, None, 4, 1e-5, False), exact)


def one_sided() -> list[float]:
    """Errors of the slopes of a fork of which one branch is used; and how many zeros were written for the other."""
    torch.manual_seed(0)
    x, skip, slope, weight, bias = (torch.randn(size) for size in ((2, 6, 4, 4), (2, 2, 4, 4), (2, 8, 4, 4), 8, 8))
    x, skip = x.requires_grad_(), skip.requires_grad_()
    whole = torch.cat([x, skip], dim=1).double()
    exact = F.group_norm(whole, 4, weight.double(), bias.double(), 1e-5), whole
    found = []
    for ours, wanted in zip(fork(x, skip, weight, bias, 4, 1e-5, False), exact, strict=True):
        with Zeros() as zeros:
            slopes = torch.autograd.grad(ours, [x, skip], slope, retain_graph=True)
        pairs = zip(slopes, torch.autograd.grad(wanted, [x, skip], slope.double(), retain_graph=True), strict=True)
        found += [*(off(*pair) for pair in pairs), zeros.count]
    return found


class Zeros(TorchDispatchMode):
    """Counts the tensors that are filled with zeros."""

    count = 0

    def __torch_dispatch__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += any(word in str(call) for word in ("zero", "fill"))
        return call(*args, **(kwargs or {}))


def networks() -> dict[str, list[float]]:
    """Errors of a whole network, value and slope: with scale and shift traced as one graph, without as it is."""
    torch.manual_seed(0)
    found = {}
    for scale_shift in (True, False):
        network = UNet(4, 32, 1, [4], [1], num_head_channels=32, use_scale_shift_norm=scale_shift)
        for parameter in network.requires_grad_(False).eval().parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
        plain, fused = EDM(network), EDM(copy.deepcopy(network), fused=True)
        if scale_shift:
            fused.compile(backend="aot_eager", fullgraph=True, dynamic=False)
        x = torch.randn(1, 3, 4, 4, requires_grad=True)
        results = []
        for denoiser in (fused, plain):
            x_0 = denoiser(x, 0.5)
            results.append([x_0.detach(), *torch.autograd.grad(x_0.square().sum(), x)])
        found["traced" if scale_shift else "eager"] = [off(a, b) for a, b in zip(*results, strict=True)]
    return found


if __name__ == "__main__":
    cases = {
        f"{shape}, {memory}, {dtype}, {way}": case(shape, SHAPES[shape], FORMATS[memory], dtype, way)
        for shape, memory, dtype, way in product(SHAPES, FORMATS, TYPES, WAYS)
        # Types and ways do not meet: each is tried with the others' first.
        if dtype == TYPES[0] or (way == "push" and shape[0] == 2)
    }
    forks = {
        f"{shape}, {memory}, {first}": forked(
            shape, SHAPES[shape], FORMATS[memory], first, silu=memory == "channels last"
        )
        for shape, memory in product(SHAPES, FORMATS)
        for first in (shape[1], shape[1] - 2)
        if shape[1] > SHAPES[shape]  # two pixels alone have no slope but for rounding
    }
    sums = {
        f"{shape}, {memory}, {dtype}, {shifts}": added(shape, FORMATS[memory], dtype, shifts)
        for (shape, memory), dtype, shifts in zip(
            product(SHAPES, FORMATS), 3 * TYPES, 3 * (1, 2, 1, 2, 1), strict=False
        )
    }
    sizes = {
        f"{memory}, {dtype}": [str(dtype), *resized(FORMATS[memory], dtype)] for memory in FORMATS for dtype in TYPES
    }
    found = {"cases": cases, "forks": forks, "sums": sums, "sizes": sizes, "networks": networks()}
    print(json.dumps(found | {"column": column(), "one_sided": one_sided()}))
