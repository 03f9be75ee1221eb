"""A network whose kernels are recorded once and then replayed, so that the host need not start each by itself.

A recording has the addresses of its input and output in it: what goes in is copied there, and what comes out is copied
from there before the next replay writes over it. What the way back needs stays in the recording; so one that was
replayed forward is not replayed again as long as a gradient may still be asked of it, and another is made for
evaluations that are alive at the same time.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dis_lightning.weights import LazyNetwork

__all__ = ["Graphs", "Recorder", "Replayed"]

Work = Callable[[], Tensor]

WARM_UP = 3
"""Runs before a recording: kernels are chosen, workspaces taken and code compiled."""


class Recorder(Protocol):
    """Records the work of one evaluation and of its gradient."""

    def record(self, work: Work) -> tuple[Tensor, Callable[[], None]]:
        """Record some work: give its output, and what repeats it into that same memory."""

    def aside(self) -> AbstractContextManager[None]:
        """Where work is done before it is recorded."""


class Graphs:
    """Records CUDA graphs that share memory: they must be replayed in the order in which they were recorded.

    Args:
        device: the GPU.
    """

    def __init__(self, device: torch.device) -> None:
        # One stream for all, for a gradient is computed on the stream of its evaluation; of this GPU, which need not be
        # the current one.
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def record(self, work: Work) -> tuple[Tensor, Callable[[], None]]:
        """See `Recorder`."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self._stream.device), torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
            output = work()
        return output, graph.replay

    @contextmanager
    def aside(self) -> Iterator[None]:
        """On the stream of the recording, as CUDA graphs ask for."""
        current = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            yield
        current.wait_stream(self._stream)


class Replayed:
    """A network with one recording per shape of its input: called as the network is, with the same results.

    Where there is nothing to record, on a CPU, and while weights learn, the network is called as it is. The weights
    may change in place; where they have moved, recordings are made anew.

    Args:
        network: the network, of `(x, t)` or `(x, t, y)`.
        recorder: makes what records its work on a device; None for `Graphs` on a GPU.

    Attributes:
        recordings: those of the weights where they are now, by what they are for.
    """

    def __init__(self, network: nn.Module, recorder: Callable[[torch.device], Recorder] | None = None) -> None:
        self.network = network
        self.recorder = recorder
        self.recordings: dict[tuple[Any, ...], list[_Recording]] = {}
        self._tensors: list[tuple[dict[str, Any], str]] = []
        self._places: list[int] = []

    def __call__(self, x: Tensor, *more: Tensor) -> Tensor:
        """Evaluate the network; differentiable with respect to `x` alone, and once."""
        recorder = self.recorder or (Graphs if x.is_cuda else None)
        if recorder is None or (weights := self._weights(x)) is None:
            output: Tensor = self.network(x, *more)
            return output
        self._keep(weights)
        differentiable = torch.is_grad_enabled() and x.requires_grad
        recording = self._free(recorder, differentiable, x, *more)
        if differentiable:
            replayed: Tensor = _Replay.apply(recording, x, *more)
            return replayed
        return recording.forward(x, *more)

    def __getstate__(self) -> dict[str, Any]:
        # A copy has other weights, or is in another process.
        return {**vars(self), "recordings": {}, "_tensors": [], "_places": []}

    def _weights(self, x: Tensor) -> list[Tensor] | None:
        """All tensors of the network; None while one of them learns."""
        if not self._tensors:
            if isinstance(self.network, LazyNetwork):
                self.network.ready(x)
            # By their places in the modules: to walk through these takes as long as an evaluation's work for the host.
            for module in self.network.modules():
                for table in (module._parameters, module._buffers):
                    self._tensors += [(table, name) for name, tensor in table.items() if tensor is not None]
        weights = [table[name] for table, name in self._tensors]
        learns = torch.is_grad_enabled() and any(weight.requires_grad for weight in weights)
        return None if learns else weights

    def _keep(self, weights: list[Tensor]) -> None:
        """Keep recordings while the weights are where they were; others would read what is there no longer."""
        places = [weight.data_ptr() for weight in weights]
        if places != self._places:
            self.recordings.clear()
            self._places = places

    def _free(
        self, recorder: Callable[[torch.device], Recorder], differentiable: bool, *inputs: Tensor
    ) -> "_Recording":
        deterministic = torch.are_deterministic_algorithms_enabled()
        key = (differentiable, deterministic, *((each.shape, each.dtype, each.device) for each in inputs))
        made = self.recordings.setdefault(key, [])
        for recording in made:
            if recording.lease() is None:
                return recording
        made.append(_Recording(self.network, recorder(inputs[0].device), differentiable, inputs))
        return made[-1]


class _Lease:
    """Held by a gradient that may still be asked for."""


class _Recording:
    """A network's way forward, and back where it is differentiable, between fixed places in memory."""

    # The memory is written again and again, and under inference mode no gradient could ever go through it.
    @torch.inference_mode(False)
    def __init__(
        self, network: nn.Module, recorder: Recorder, differentiable: bool, inputs: tuple[Tensor, ...]
    ) -> None:
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

        with recorder.aside():
            for _ in range(WARM_UP):
                self._slope = torch.zeros_like(forward())
                if differentiable:
                    backward()
        self._live = None
        self._output, self._replay_forward = recorder.record(forward)
        if differentiable:
            self._gradient, self._replay_backward = recorder.record(backward)
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
