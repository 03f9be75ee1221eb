"""What sampling costs: network evaluations, backward passes, time and memory."""

import resource
import sys
import time
from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor, nn

from dis_lightning.types import Cost

__all__ = ["CostMeter"]


class CostMeter:
    """Measure the work done while the context lasts.

    Evaluations and gradients are counted by rows: a batch of N images through a network counts N. A gradient is counted
    when it reaches a network's output.

    Args:
        networks: the networks to count.
        device: where they run.

    Attributes:
        evaluations: rows that went forward through a network.
        gradients: rows that went backward through a network.
        seconds: wall time.
        memory: peak memory in GiB: on a GPU allocated within the context, on a CPU held by the process until its end.
    """

    def __init__(self, networks: Iterable[nn.Module], device: torch.device) -> None:
        self.evaluations = 0
        self.gradients = 0
        self.seconds = 0.0
        self.memory = 0.0
        self._networks = list(networks)
        self._device = device

    def __enter__(self) -> Self:
        self._hooks = [network.register_forward_hook(self._forward) for network in self._networks]
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # the clock must see the work that is still under way
        self.seconds = time.perf_counter() - self._start
        self.memory = _peak_memory(self._device) / 2**30

    def per_image(self, images: int) -> Cost:
        """Share the cost equally among `images`; the memory is that of all."""
        return Cost(self.evaluations / images, self.gradients / images, self.seconds / images, self.memory)

    def _forward(self, _: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        rows = len(inputs[0])
        self.evaluations += rows
        if output.requires_grad:
            output.register_hook(lambda _: self._backward(rows))

    def _backward(self, rows: int) -> None:
        self.gradients += rows


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # The system counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
