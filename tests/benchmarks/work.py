"""What is timed: guided steps, and the matrix products that they are held against.

Both are endless iterators, so that the same clock can go round between them.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, NamedTuple

import torch
from clock import wait
from networks import build
from settings import Setting
from torch import Tensor

from dis_lightning.levels import KarrasLevels
from dis_lightning.meters import CostMeter
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import AveragePool
from dis_lightning.solvers import DPS
from dis_lightning.types import State

__all__ = ["Start", "guided_steps", "matrix_products", "peak_memory", "product_cost", "start"]

WARM_UP = 4
"""Steps before the clock starts: code is compiled, and CUDA graphs are warmed up, recorded and replayed."""


def guided_steps(setting: Setting, arguments: dict[str, Any], device: torch.device) -> Iterator[State]:
    """One guided step of DPS after the other, through the package's own loop."""
    denoiser = setting.prior(build(arguments, setting.dtype, device))
    operator = AveragePool(factor=4, noise_std=0.1)
    # As many levels as any run will ask for: the cost of a step does not depend on its level.
    solver = DPS(operator, denoiser, KarrasLevels(steps=100_000), scale=0.1).to(device)
    noise = NoiseSource(0, range(setting.batch), device)
    y = operator.measure(torch.zeros(setting.batch, *denoiser.shape, device=device), noise)
    return solver.iterate(y, noise)


class Start(NamedTuple):
    """How guided steps began."""

    steps: Iterator[State]
    """The steps to come."""
    seconds: float
    """Until the first step was there, compiling included, but not the building of the network."""
    memory: float
    """Peak memory until now in GiB: on a GPU of this network and its steps, on a CPU of the whole process, libraries
    included."""


def start(setting: Setting, arguments: dict[str, Any], device: torch.device) -> Start:
    """Build a network and take the first guided steps."""
    others = torch.cuda.memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0
    with CostMeter((), device) as meter:
        steps = guided_steps(setting, arguments, device)
        wait(device)
        begin = time.perf_counter()
        next(steps)
        wait(device)
        seconds = time.perf_counter() - begin
        for _ in range(WARM_UP - 1):
            next(steps)
    return Start(steps, seconds, meter.memory - others)


def peak_memory(setting: Setting, arguments: dict[str, Any]) -> float:
    """Peak memory on a CPU, in GiB, of a process that runs nothing else.

    The new process counts from the size of this one, so that it has to be asked before this one does any work.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_peak_memory, setting, arguments).result()


def _peak_memory(setting: Setting, arguments: dict[str, Any]) -> float:
    return start(setting, arguments, torch.device("cpu")).memory


def matrix_products(dtype: torch.dtype, device: torch.device) -> Iterator[Tensor]:
    """One product of two big square matrices after the other."""
    size = _size(device)
    a, b = torch.randn(2, size, size, device=device).to(dtype)
    while True:
        yield a @ b


def product_cost(device: torch.device) -> int:
    """Floating-point operations of one product."""
    return 2 * _size(device) ** 3


def _size(device: torch.device) -> int:
    # Large enough to keep all units busy, small enough for a few milliseconds on a GPU and tenths of a second on a CPU.
    return 8192 if device.type == "cuda" else 2048
