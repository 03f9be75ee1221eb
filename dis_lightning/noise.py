"""Randomness: one stream per image, or per posterior sample of an image.

A stream is keyed by (seed, image index, sample index), never by the position in a batch, the process or the order of
calls. So an image gets the same noise whatever the batch size, the number of devices or a restart. What is neither
measuring nor sampling has a name of its own in the key, so that no two uses of noise in a run share numbers. Numbers
are drawn in float32 on the CPU and then moved and cast: every device and every precision sees the same noise.

With the environment variable DIS_LIGHTNING_NOISE_AHEAD=1 the next numbers are drawn on a thread of their own while a
device computes; see `Ahead`.
"""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError

__all__ = ["NoiseSource", "keyed_generator"]

TWISTER = slice(24, 24 + 624 * 8)
"""Where PyTorch keeps the 624 words of 32 bits of a Mersenne Twister, 8 bytes for each, in a generator's state."""
BLANK = torch.Generator().get_state().numpy()
"""The state of a generator that nothing was drawn from."""


class NoiseSource:
    """Independent streams of standard normal numbers, one for each image index.

    Args:
        seed: the run's seed, any non-negative integer.
        indices: the image indices, one stream each; non-negative. A tensor or a sequence of integers.
        device: where the numbers are needed.
        use: what the noise is for, where it is neither measuring nor sampling; other uses are other streams.

    Raises:
        ValueError: if the seed or an index is negative.
    """

    def __init__(
        self, seed: int, indices: Sequence[int] | Tensor, device: torch.device | str = "cpu", use: str = ""
    ) -> None:
        keys: list[tuple[int, ...]] = [(int(index),) for index in indices]
        if seed < 0 or any(key < (0,) for key in keys):
            raise InvalidValueError(
                f"NoiseSource needs a seed and indices >= 0, but got seed {seed} and indices {indices}."
            )
        self._start(seed, keys, device, use)

    def _start(self, seed: int, keys: list[tuple[int, ...]], device: torch.device | str, use: str) -> None:
        self.seed = seed
        self.use = use
        self.keys = keys
        self.device = torch.device(device)
        self._generators = [keyed_generator(seed, key, use=use) for key in keys]
        self._ahead = Ahead(self._generators) if os.environ.get("DIS_LIGHTNING_NOISE_AHEAD") == "1" else None

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def indices(self) -> list[int]:
        """The image that each stream belongs to."""
        return [index for index, *_ in self.keys]

    def samples(self, num_samples: int) -> Self:
        """Fresh streams for `num_samples` posterior samples of each image, image by image.

        The result depends on the keys alone, not on what was drawn from this source before.
        """
        split = type(self).__new__(type(self))
        keys = [(*key, sample) for key in self.keys for sample in range(num_samples)]
        split._start(self.seed, keys, self.device, self.use)
        return split

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Draw standard normal numbers; row `i` comes from stream `i`.

        Args:
            shape: `(N, ...)` with N the number of streams.
            dtype: type of the result.

        Raises:
            ValueError: if the first axis is not the number of streams.
        """
        if len(shape) == 0 or shape[0] != len(self):
            raise InvalidValueError(
                f"This noise has {len(self)} streams, but {tuple(shape)} asks for another number of rows."
            )
        on_gpu = self.device.type == "cuda"
        noise = self._ahead.draw(tuple(shape), on_gpu) if self._ahead else _draw(self._generators, tuple(shape))
        return noise.to(self.device, dtype, non_blocking=on_gpu)

    def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Draw numbers that are uniform in (0, 1), as `normal` does, from the same streams; in float32 1 may come."""
        uniform: Tensor = torch.special.ndtr(self.normal(shape, dtype))
        return uniform

    def like(self, x: Tensor) -> Tensor:
        """Draw standard normal numbers with the shape and type of `x`, `(N, ...)`."""
        return self.normal(x.shape, x.dtype)


class Ahead:
    """Draws what will be asked for next while nobody waits for it: the same bits as if it were drawn then.

    What follows numbers of a shape is what followed them the last time; at first, more of the same. Where something
    else is asked for, the streams go back to where they were.

    Args:
        generators: the streams, which nobody else draws from.
    """

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self._generators = generators
        self._followed: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._last: tuple[int, ...] | None = None
        self._prepared: _Prepared | None = None

    def draw(self, shape: tuple[int, ...], pinned: bool = False) -> Tensor:
        """Draw float32 numbers; row `i` comes from stream `i`.

        Args:
            shape: `(N, ...)` with N the number of streams.
            pinned: whether they will be copied to a GPU: beside its work, instead of waiting for it.
        """
        noise = self._take(shape)
        if noise is None:
            noise = _draw(self._generators, shape, _empty(shape, pinned))
        if self._last is not None:
            self._followed[self._last] = shape
        self._last = shape
        likely = self._followed.get(shape, shape)
        before = [generator.get_state() for generator in self._generators]
        work = _worker().submit(_draw, self._generators, likely, _empty(likely, pinned))
        self._prepared = _Prepared(likely, before, work)
        return noise

    def _take(self, shape: tuple[int, ...]) -> Tensor | None:
        """What was prepared, if it is what is asked for."""
        if self._prepared is None:
            return None
        (expected, before, work), self._prepared = self._prepared, None
        noise = work.result()
        if expected == shape:
            return noise
        for generator, state in zip(self._generators, before, strict=True):
            generator.set_state(state)
        return None


class _Prepared(NamedTuple):
    shape: tuple[int, ...]
    before: list[Tensor]
    """The streams' states without it."""
    work: Future[Tensor]


@cache
def _worker() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="noise")


def _empty(shape: tuple[int, ...], pinned: bool) -> Tensor:
    with torch.inference_mode(False):  # another thread, which knows of no inference, writes to it
        return torch.empty(shape, pin_memory=pinned)


def _draw(generators: Sequence[torch.Generator], shape: tuple[int, ...], into: Tensor | None = None) -> Tensor:
    noise = torch.empty(shape) if into is None else into
    for row, generator in zip(noise, generators, strict=True):
        torch.randn(row.shape, generator=generator, out=row)
    return noise


def keyed_generator(
    seed: int, key: tuple[int, ...], device: torch.device | str = "cpu", use: str = ""
) -> torch.Generator:
    """A random stream that is known by its seed, its key and its use alone.

    Args:
        seed: >= 0.
        key: whatever tells the stream from others of the seed; numbers >= 0.
        device: where the stream is drawn.
        use: what the stream is for; see `NoiseSource`.
    """
    # SeedSequence mixes the whole key, so that neighbouring seeds and indices give unrelated streams. `spawn_key`
    # keeps (seed, index) and (seed, index, sample) apart. 128 bits stand for a use, more than any key of numbers has.
    name = np.frombuffer(hashlib.sha256(use.encode()).digest()[:16], np.uint32).tolist() if use else []
    words = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(*name, *key)))
    generator = torch.Generator(device)
    if generator.device.type != "cpu":
        return generator.manual_seed(int(words.random_raw()) >> 1)
    # Of a seed, a generator on the CPU takes 32 bits: among 100,000 streams one would be another's double.
    state = BLANK.copy()
    state[TWISTER].view(np.uint64)[:] = words.random_raw(624) >> np.uint64(32)
    return generator.set_state(torch.frombuffer(state, dtype=torch.uint8))  # also within the transforms of torch.func
