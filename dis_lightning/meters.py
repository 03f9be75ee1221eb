"""What sampling does, counted from outside: evaluations and gradients, time and memory, accepted moves."""

import resource
import sys
import time
from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor, nn

from dis_lightning.errors import InvalidValueError
from dis_lightning.types import Cost, State

__all__ = ["AcceptanceMeter", "CostMeter"]


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
        memory: peak memory in GiB: on a GPU allocated within the context, with what recorded kernels hold of it; on a
            CPU held by the process until its end.
    """

    def __init__(self, networks: Iterable[nn.Module], device: torch.device) -> None:
        self.evaluations = 0
        self.gradients = 0
        self.seconds = 0.0
        self.memory = 0.0
        self._recorded = 0
        self._networks = list(networks)
        self._device = device

    def __enter__(self) -> Self:
        self._hooks = [network.register_forward_hook(self._forward) for network in self._networks]
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # what is under way is not sampling's
            torch.cuda.reset_peak_memory_stats(self._device)
            if any(getattr(network, "_replayed", None) for network in self._networks):
                self._recorded = _recorded_memory(self._device)
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # the clock must see the work that is still under way
        self.seconds = time.perf_counter() - self._start
        self.memory = (_peak_memory(self._device) + self._recorded) / 2**30

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


class AcceptanceMeter:
    """Count how often the proposals of a chain are accepted: an observer of a solver.

    A kernel with an accept step leaves the image bit for bit as it was where it rejects; so an image that has changed
    from one step to the next was accepted. For one call of `solve`; take a new meter for the next.

    Args:
        chains: number of chains per image.
        warm_start: number of steps before the chain, which are not counted.
    """

    def __init__(self, chains: int = 1, warm_start: int = 0) -> None:
        self.chains = chains
        self.warm_start = warm_start
        self._last: Tensor | None = None
        self._accepted: list[Tensor] = []

    def __call__(self, state: State) -> None:
        """Look at the state after a step."""
        if self._last is not None and state.step > self.warm_start:
            changed = (state.x_0 != self._last) & state.x_0.isfinite()
            self._accepted.append(changed.flatten(1).any(dim=1))
        self._last = state.x_0

    def per_image(self) -> Tensor:
        """Share of the proposals that were accepted, `(B,)`, over all chains of each image.

        Raises:
            ValueError: if nothing was seen.
        """
        if self._last is None:
            raise InvalidValueError(
                "An acceptance rate needs two steps of a chain; add the meter to the solver's observers."
            )
        if not self._accepted:  # of a single move, the start was not seen
            return torch.full((len(self._last) // self.chains,), torch.nan, dtype=torch.float64)
        return torch.stack(self._accepted).double().mean(dim=0).reshape(-1, self.chains).mean(dim=1)


def _recorded_memory(device: torch.device) -> int:
    """What kernels that were recorded before need when they are replayed: it counts as free, and never is."""
    segments = torch.cuda.memory_snapshot()
    return sum(
        segment["total_size"] - segment["allocated_size"]
        for segment in segments
        if segment["device"] == (device.index or 0) and segment["segment_pool_id"] != (0, 0)
    )


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # The system counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
