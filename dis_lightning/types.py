"""The small records that travel between the parts of the package."""

from typing import NamedTuple, NotRequired, TypedDict

import torch
from torch import Tensor

from dis_lightning.errors import InvalidTypeError

__all__ = [
    "Batch",
    "Cost",
    "Draws",
    "Guided",
    "Measurement",
    "Posterior",
    "Reconstruction",
    "State",
    "dot",
    "per_row",
    "repeat",
]

Measurement = Tensor | list[str]
"""What was measured, one row per image: an image, magnitudes, a label map, a class, or captions."""


class Batch(TypedDict):
    """What a DataModule gives for B images; an item of a dataset is the same without the first axis."""

    image: NotRequired[Tensor]
    """Clean images, `(B, C, H, W)`, in [-1, 1]."""
    measurement: NotRequired[Tensor]
    """In place of clean images that nobody knows: pictures of what was measured, `(B, c, h, w)`, in [-1, 1]."""
    y: NotRequired[Tensor]
    """In place of both: measurements in the operator's own numbers, `(B, ...)`, as `Operator.measure` gives them."""
    index: Tensor
    """Position of each image in the data set, `(B,)`: the key of its noise, its files and its record."""
    name: list[str]
    """Where each image came from, for people."""
    label: NotRequired[Tensor]
    """Class of each image, `(B,)`, where known."""


class Posterior(NamedTuple):
    """What is believed about the clean image given a noisy one."""

    mean: Tensor
    """Posterior mean of `x_0`, `(N, ...)`."""
    samples: Tensor
    """Where the measurement is compared, `(M, N, ...)`: the mean itself, or M draws around it."""


class Guided(NamedTuple):
    """A solver's answer at one noise level."""

    x_0: Tensor
    """Estimate of the clean image for the transition, `(N, ...)`."""
    shift: Tensor | None
    """What is taken from the noisy image after the transition, same shape; None where there is nothing to take."""


class State(NamedTuple):
    """One step of a sampling loop, for those who look on."""

    x_t: Tensor
    """The moving variable after the step, `(N, ...)`: a noisy image, a clean one, or the noise of a generator."""
    x_0: Tensor
    """The latest estimate of the clean image, `(N, ...)`."""
    sigma: float
    """Noise level that the step started from."""
    step: int
    """Number of steps done, 1 .. steps."""
    steps: int
    """Number of steps in all."""


class Cost(NamedTuple):
    """What one image cost, all its posterior samples together."""

    evaluations: float
    """Network evaluations."""
    gradients: float
    """Backward passes through a network."""
    seconds: float
    """Wall time of the sampling, the batch's time shared equally among its images."""
    memory: float
    """Peak memory in GiB: on a GPU that of the batch, on a CPU that of the process so far."""


class Draws(NamedTuple):
    """Posterior samples of B images, S each, as they are saved."""

    samples: Tensor
    """8-bit images, `(B, S, 3, H, W)`."""
    diverged: Tensor
    """Which samples became non-finite, boolean, `(B, S)`; their pixels in `samples` mean nothing."""
    costs: list[Cost]
    """What each image cost, B entries."""
    acceptance: Tensor | None = None
    """Share of the kernel's proposals that were accepted, all chains of an image together, `(B,)`; None without
    chains."""
    clamped: Tensor | None = None
    """Share of the values of each sample that lay outside [-1, 1] by more than rounding, `(B, S)`."""
    effective_particles: Tensor | None = None
    """The least number of particles that was worth as much as all of an image's, `(B,)`; None without particles."""


class Reconstruction(NamedTuple):
    """All that is known about a batch of B images after sampling."""

    indices: Tensor
    """Position of each image in the data set, `(B,)`."""
    names: list[str]
    """Where each image came from."""
    source: Tensor | None
    """The clean images, 8 bit as they are saved, `(B, C, H, W)`; None where nobody knows them."""
    measurement: Measurement
    """What was measured, one entry per image."""
    draws: Draws
    """The posterior samples and their cost, drawn now or read back from a run folder."""
    labels: Tensor | None = None
    """Class of each image, `(B,)`, where known."""

    @property
    def truth(self) -> Tensor:
        """The clean images, for those who cannot do without.

        Raises:
            ValueError: if nobody knows them.
        """
        if self.source is None:
            raise ValueError(f"Nobody knows the clean images of {', '.join(self.names)}.")
        return self.source

    @property
    def device(self) -> torch.device:
        """Where the batch was computed; its draws are on the CPU."""
        return self.indices.device


def per_row(values: Tensor, x: Tensor) -> Tensor:
    """Shape one value for each row, `(N,)`, to meet its row of `x`, `(N, ...)`."""
    return values.reshape(-1, *[1] * (x.ndim - 1))


def dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner product of each row with the same row of another tensor, `(N,)`."""
    return (a * b).flatten(1).sum(dim=1)


def repeat(y: Measurement, times: int) -> Measurement:
    """Give each of several samples of an image, or rows of a loop, its measurement, `(B * times, ...)`."""
    if isinstance(y, Tensor):
        return y.repeat_interleave(times, dim=0)
    if not isinstance(y, list | tuple):
        raise InvalidTypeError(f"A measurement is a tensor, or a list of texts, but got {type(y).__name__}.")
    return [text for text in y for _ in range(times)]
