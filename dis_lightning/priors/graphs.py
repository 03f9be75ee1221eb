"""A network whose kernels are recorded once and then replayed, so that the host need not start each by itself.

A recording has the addresses of its input and output in it: what goes in is copied there, and what comes out is copied
from there before the next replay writes over it. What the way back needs stays in the recording; so one that was
replayed forward is not replayed again as long as a gradient may still be asked of it, and another is made for
evaluations that are alive at the same time.
"""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dis_lightning.weights import LazyNetwork

__all__ = ["Record", "Replayed", "on_gpu"]

Work = Callable[[], Tensor]
Record = Callable[[Work], tuple[Tensor, Callable[[], None]]]
"""Records some work: gives its output, and what repeats it into that same memory."""

WARM_UP = 3
"""Runs before a recording: kernels are chosen, workspaces taken and code compiled."""


def on_gpu(work: Work) -> tuple[Tensor, Callable[[], None]]:
    """Record as a CUDA graph."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = work()
    return output, graph.replay


class Replayed:
    """A network with one recording per shape of its input: called as the network is, with the same results.

    Where there is nothing to record, on a CPU, and while weights learn, the network is called as it is. The weights
    may change in place; where they have moved, recordings are made anew.

    Args:
        network: the network, of `(x, t)` or `(x, t, y)`.
        record: how its work is recorded; None for CUDA graphs on a GPU.

    Attributes:
        recordings: all that were made, by what they are for.
    """

    def __init__(self, network: nn.Module, record: Record | None = None) -> None:
        self.network = network
        self.record = record
        self.recordings: dict[tuple[Any, ...], list[_Recording]] = {}

    def __call__(self, x: Tensor, *more: Tensor) -> Tensor:
        """Evaluate the network; differentiable with respect to `x` alone, and once."""
        record = self.record or (on_gpu if x.is_cuda else None)
        learns = torch.is_grad_enabled() and any(weight.requires_grad for weight in self.network.parameters())
        if record is None or learns:
            output: Tensor = self.network(x, *more)
            return output
        differentiable = torch.is_grad_enabled() and x.requires_grad
        recording = self._free(record, differentiable, x, *more)
        if differentiable:
            replayed: Tensor = _Replay.apply(recording, x, *more)
            return replayed
        return recording.forward(x, *more)

    def __getstate__(self) -> dict[str, Any]:
        # A copy has other weights, or is in another process.
        return {**vars(self), "recordings": {}}

    def _free(self, record: Record, differentiable: bool, *inputs: Tensor) -> "_Recording":
        if isinstance(self.network, LazyNetwork):
            self.network.ready(inputs[0])
        place = next((weight.data_ptr() for weight in self.network.parameters()), None)
        deterministic = torch.are_deterministic_algorithms_enabled()
        key = (differentiable, place, deterministic, *((each.shape, each.dtype, each.device) for each in inputs))
        made = self.recordings.setdefault(key, [])
        for recording in made:
            if recording.lease() is None:
                return recording
        made.append(_Recording(self.network, record, differentiable, inputs))
        return made[-1]


class _Lease:
    """Held by a gradient that may still be asked for."""


class _Recording:
    """A network's way forward, and back where it is differentiable, between fixed places in memory."""

    # The memory is written again and again, and under inference mode no gradient could ever go through it.
    @torch.inference_mode(False)
    def __init__(self, network: nn.Module, record: Record, differentiable: bool, inputs: tuple[Tensor, ...]) -> None:
        self.lease: Callable[[], _Lease | None] = lambda: None
        self._inputs = [each.detach().clone(memory_format=torch.contiguous_format) for each in inputs]
        self._inputs[0].requires_grad_(differentiable)
        self._live: Tensor | None = None

        def forward() -> Tensor:
            self._live = None  # or memory would have to hold what two evaluations keep for the way back
            with torch.set_grad_enabled(differentiable):
                self._live = network(*self._inputs)
            return self._live.detach()

        def backward() -> Tensor:
            assert self._live is not None
            # Retained: a solver may go back several times, and what was saved must not be written over on the way.
            (slope,) = torch.autograd.grad(self._live, self._inputs[0], self._slope, retain_graph=True)
            return slope

        if inputs[0].is_cuda:
            _warm_up(forward, backward if differentiable else None, self)
        else:
            self._slope = torch.zeros_like(forward())
        self._output, self._replay_forward = record(forward)
        if differentiable:
            self._gradient, self._replay_backward = record(backward)
        self._live = None

    def forward(self, *inputs: Tensor) -> Tensor:
        for place, value in zip(self._inputs, inputs, strict=True):
            place.detach().copy_(value)
        self._replay_forward()
        return self._output.clone()

    def backward(self, slope: Tensor) -> Tensor:
        self._slope.copy_(slope)
        self._replay_backward()
        return self._gradient.clone()


def _warm_up(forward: Work, backward: Work | None, recording: "_Recording") -> None:
    """Run on another stream, as CUDA graphs ask for."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            recording._slope = torch.zeros_like(forward())
            if backward:
                backward()
    torch.cuda.current_stream().wait_stream(stream)
    recording._live = None


class _Replay(torch.autograd.Function):
    @staticmethod
    def forward(recording: _Recording, *inputs: Tensor) -> Tensor:
        return recording.forward(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.recording, lease = inputs[0], _Lease()
        ctx.lease = lease
        ctx.recording.lease = weakref.ref(lease)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        return None, ctx.recording.backward(slopes[0]), *[None] * (len(ctx.needs_input_grad) - 2)
