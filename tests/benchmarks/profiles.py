"""Which kernels take the time of a guided step, and of what kind they are."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

__all__ = ["Share", "shares", "spent"]

KINDS = {
    # Inductor names a kernel after all that it joins, so that none of the names below says what takes its time.
    "written by the compiler": ("triton_",),
    "normalisation": (
        "_sum_features",
        "_standardise",
        "_apply",
        "_sum_slopes",
        "_average",
        "group_norm",
        "GroupNorm",
        "RowwiseMoments",
        "ComputeFusedParams",
        "ComputeInternal",
    ),
    "sums and sizes": ("_add", "_resize"),
    "attention": ("flash", "fmha", "attention", "sdpa"),
    "copies and casts": (
        "copy",
        "Memcpy",
        "Memset",
        "nchwToNhwc",
        "nhwcToNchw",
        "CatArray",
        "direct_copy",
        "transpose",
        "fill",
    ),
    "convolutions": ("conv", "xmma", "cudnn", "implicit", "dgrad", "fprop", "sm90_xmma", "cutlass"),
    "products": ("gemm", "cublas", "nvjet", "splitK"),
}
"""By what a kernel is known, the first kind that fits; a mark with a low line at an end by how its name begins."""

TOP = 12
"""Kernels that a table names."""


class Share(NamedTuple):
    """A row of a table."""

    label: str
    """The kernel, or in brackets a kind of them."""
    share: float
    """Of all of the device's time."""
    ms: float
    """A step."""


def spent(states: Iterator[Any], steps: int, device: torch.device) -> dict[str, float]:
    """Milliseconds a step by kernel, on a CPU by operation, the longest first."""
    on_gpu = device.type == "cuda"
    wait = torch.cuda.synchronize if on_gpu else lambda: None
    wait()
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as found:
        for _ in range(steps):
            next(states)
        wait()
    times: dict[str, float] = {}
    for event in found.key_averages():
        one = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        if one > 0:
            times[event.key] = times.get(event.key, 0.0) + one / 1e3 / steps
    return dict(sorted(times.items(), key=lambda item: -item[1]))


def _fits(mark: str, key: str) -> bool:
    begins = mark[0] == "_" or mark[-1] == "_"
    return key.startswith(mark) if begins else mark.lower() in key.lower()


def shares(times: dict[str, float]) -> list[Share]:
    """The kinds of kernels, the kernels that take longest, and all of them together."""
    total = sum(times.values())
    kinds: dict[str, float] = {}
    for key, one in times.items():
        known = (kind for kind, marks in KINDS.items() if any(_fits(mark, key) for mark in marks))
        kind = next(known, "the rest")
        kinds[kind] = kinds.get(kind, 0.0) + one
    rows = [(f"[{kind}]", one) for kind, one in sorted(kinds.items(), key=lambda item: -item[1])]
    rows += [(key[:58], one) for key, one in [*times.items()][:TOP]]
    return [Share(label, one / total, one) for label, one in [*rows, ("all", total)]]
