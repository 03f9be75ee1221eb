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

from dis_lightning.priors import EDM, UNet
from dis_lightning.priors.fused import group_norm

# Channels and pixels that fill no tile, few of them, several shares of the pixels, several blocks of channels.
SHAPES = {(2, 6, 3, 5): 3, (1, 4, 1, 2): 4, (1, 6, 20, 17): 2, (1, 288, 2, 2): 3}
FORMATS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
TYPES = (torch.float32, torch.bfloat16, torch.float16)
WAYS = ("plain", "push", "steer")


def off(a: Tensor, b: Tensor, least: float = 0.0) -> float:
    """How far `a` is from `b`, relative to `b`, or to a norm that it is too small to be held against."""
    return float((a.double() - b.double()).norm() / b.double().norm().clamp_min(least))


def case(shape: tuple[int, ...], groups: int, memory: torch.memory_format, dtype: torch.dtype, way: str) -> list[Any]:
    """Errors of the value and of the slope against float64, and whether they come in the type and format of `x`."""
    torch.manual_seed(0)
    n, c = shape[:2]
    x = (2 * torch.randn(shape) + 3).to(dtype).contiguous(memory_format=memory).requires_grad_()
    weight, bias = torch.randn(2, c)
    push = torch.randn(n, c) if way == "push" else None
    steer = torch.randn(n, 2 * c) if way == "steer" else None
    slope = torch.randn(shape).to(dtype)
    y = group_norm(x, weight, bias, push, steer, groups, 1e-5, way != "plain")
    (dx,) = torch.autograd.grad(y, x, slope)

    exact = x.detach().double().requires_grad_()
    z = exact if push is None else exact + push.double()[:, :, None, None]
    z = F.group_norm(z, groups, weight.double(), bias.double(), 1e-5)
    if steer is not None:
        scale, shift = steer.double()[:, :, None, None].chunk(2, dim=1)
        z = z * (1 + scale) + shift
    z = z if way == "plain" else F.silu(z)
    (wanted,) = torch.autograd.grad(z, exact, slope.double())
    fits = all(each.dtype == dtype and each.is_contiguous(memory_format=memory) for each in (y, dx))
    return [str(dtype), off(y.detach(), z.detach()), off(dx, wanted, float(slope.norm()) / 10), fits]


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
    print(json.dumps({"cases": cases, "networks": networks()}))
