"""Adam: a descent, to start a chain where the measurement is explained or to invert a generator.

Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, https://arxiv.org/abs/1412.6980, algorithm 1.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError, require_numbers, require_positive
from dis_lightning.kernels.base import Kernel, KernelState, Point, Target
from dis_lightning.noise import NoiseSource

__all__ = ["Adam", "AdamState"]


class AdamState(NamedTuple):
    """Moving averages of Adam."""

    mean: Tensor
    """Average gradient, `(N, *shape)`."""
    square: Tensor
    """Average square of the gradient, `(N, *shape)`."""
    steps: Tensor
    """Number of steps done, a double on the CPU."""


class Adam(Kernel):
    """Descend the energy alone, without the prior's part and without noise (Kingma and Ba, "Adam", ICLR 2015).

    One evaluation and one gradient per step. Moves do not depend on the scale of the energy.

    Args:
        learning_rate: size of the first step, in units of `z`, > 0.
        betas: decay of the averages of the gradient and of its square, each in [0, 1).
        epsilon: added to the root of the average square, > 0.

    Raises:
        ValueError: if an argument is out of range.
    """

    prior_pull = 0.0

    def __init__(self, learning_rate: float, betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8) -> None:
        require_positive(self, learning_rate=learning_rate, epsilon=epsilon)
        for beta in betas:
            require_numbers(self, betas=beta)
        if not all(0 <= beta < 1 for beta in betas):
            raise InvalidValueError(f"Adam needs betas in [0, 1), but got {betas}.")
        self.learning_rate = learning_rate
        self.betas = betas
        self.epsilon = epsilon

    def init(self, point: Point) -> KernelState:
        """See `Kernel.init`."""
        return self.begin(point.z)

    def begin(self, z: Tensor) -> KernelState:
        """No step is done and all averages are 0."""
        zero = torch.zeros_like(z)
        return AdamState(zero, zero, torch.zeros((), dtype=torch.float64))

    def step(self, point: Point, state: KernelState, target: Target, noise: NoiseSource) -> tuple[Point, KernelState]:
        """See the class and `Kernel.step`."""
        z, state = self.descend(point.z, point.gradient, state)
        return target(z), state

    def descend(self, z: Tensor, gradient: Tensor, state: KernelState) -> tuple[Tensor, KernelState]:
        """Take one step from `z`, whose gradient is known, without evaluating where it leads.

        Args:
            z: where it is, `(N, *shape)`.
            gradient: of each row's energy, same shape.
            state: what the last step, or `init`, gave.

        Returns:
            The next `z`, not evaluated, and the next state.
        """
        mean, square, steps = state
        beta_1, beta_2 = self.betas
        steps = steps + 1
        mean = beta_1 * mean + (1 - beta_1) * gradient
        square = beta_2 * square + (1 - beta_2) * gradient.square()
        root = (square / (1 - beta_2**steps)).sqrt() + self.epsilon
        return z - self.learning_rate * (mean / (1 - beta_1**steps)) / root, AdamState(mean, square, steps)
