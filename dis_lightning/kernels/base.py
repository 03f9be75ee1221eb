"""The contract of kernels, and what they move: an evaluated point."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import NamedTuple

from torch import Tensor

from dis_lightning.described import Described
from dis_lightning.gradients import gradient
from dis_lightning.noise import NoiseSource

__all__ = ["Kernel", "KernelState", "Point", "Target", "differentiate", "walk"]


class Point(NamedTuple):
    """A position and what one evaluation of the generator and one gradient there have given."""

    z: Tensor
    """Noise, `(N, *shape)`."""
    energy: Tensor
    """Value of the target, `(N,)`; for samplers `-log p(y | Phi(z))`, without the prior's part."""
    gradient: Tensor
    """Gradient of each row's energy with respect to that row of `z`, `(N, *shape)`."""
    image: Tensor
    """What the generator makes of `z`, `(N, *shape)`."""


Target = Callable[[Tensor], Point]
"""Evaluates positions `(N, *shape)`, each row for itself."""

KernelState = tuple[Tensor, ...]
"""What a kernel remembers from step to step; empty for all samplers."""


def differentiate(energy: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Target:
    """Make a target of a differentiable function.

    Args:
        energy: gives the energies `(N,)` and the images of positions `(N, *shape)`.
    """

    def target(z: Tensor) -> Point:
        value, slope, image = gradient(energy, z)
        return Point(z.detach(), value, slope, image)

    return target


class Kernel(Described, ABC):
    """One way to move.

    Attributes:
        prior_pull: weight of the prior's part `z` that it adds to the gradient itself: 1 for samplers, 0 for a descent.
    """

    prior_pull: float = 1.0

    def init(self, point: Point) -> KernelState:
        """Give the state before the first step."""
        return ()

    @abstractmethod
    def step(self, point: Point, state: KernelState, target: Target, noise: NoiseSource) -> tuple[Point, KernelState]:
        """Move once.

        Args:
            point: where the chains are.
            state: what the last step, or `init`, gave.
            target: evaluates new positions.
            noise: one stream per row.

        Returns:
            The next point, evaluated, and the next state.
        """


def walk(kernel: Kernel, point: Point, steps: int, target: Target, noise: NoiseSource) -> Iterator[Point]:
    """Move `steps` times from `point`, which is not given back itself."""
    state = kernel.init(point)
    for _ in range(steps):
        point, state = kernel.step(point, state, target, noise)
        yield point
