"""A clock that goes round: every workload once in each repetition, so that all see the same load of the machine."""

import time
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, TypeVar

import torch

from dis_lightning.progress import counted

__all__ = ["interleave", "wait"]

Name = TypeVar("Name", bound=Hashable)


def interleave(
    workloads: Mapping[Name, Iterator[Any]], repetitions: int, steps: int, device: torch.device
) -> dict[Name, list[float]]:
    """Time workloads in turns, each time in another order.

    Args:
        workloads: what to time.
        repetitions: how often, >= 1.
        steps: items that are taken from a workload each time, >= 1.
        device: where they run.

    Returns:
        Seconds per item, one per repetition.
    """
    names, seconds = list(workloads), {name: list[float]() for name in workloads}
    for repetition in counted(range(repetitions), "Timing"):
        first = repetition % len(names)
        for name in names[first:] + names[:first]:
            seconds[name].append(_time(workloads[name], steps, device))
    return seconds


def _time(workload: Iterator[Any], steps: int, device: torch.device) -> float:
    wait(device)
    begin = time.perf_counter()
    for _ in range(steps):
        next(workload)
    wait(device)
    return (time.perf_counter() - begin) / steps


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
