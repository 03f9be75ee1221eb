"""Consistency inversion: find the noise of which a consistency model makes an image that explains the measurement.

Xu et al., "Consistency Models Improve Diffusion Inverse Solvers", 2024, https://arxiv.org/abs/2403.12063, algorithm 4
("Proposed II").
"""

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from dis_lightning.errors import InvalidValueError, require_not_negative, require_whole
from dis_lightning.kernels import Adam, differentiate, walk
from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import GaussianOperator, Operator
from dis_lightning.priors.base import Denoiser
from dis_lightning.solvers.noise_space import Generator, NoiseSpaceSolver
from dis_lightning.types import Measurement

__all__ = ["ConsistencyInversion"]


class ConsistencyInversion(NoiseSpaceSolver):
    """Consistency sampling in which the noise of every level is optimised before the image goes on.

        z* = argmin_z loss(A(Phi(z) + tau n), y)    by Adam from z ~ N(0, I),    x_0 = Phi(z*)
        Phi(z) = f(sigma_max z, sigma_max)    or    f(x_0 + sqrt(sigma^2 - sigma_min^2) z, sigma)  at later levels

    The loss is the squared error where the noise is Gaussian, and the operator's distance (the cross-entropy) for
    others. `steps + 1` network evaluations and as many gradients per level and sample.

    Where the paper's text leaves a choice or its code differs: the image is made of the noise *after* the last move
    (the code: before it); z is the variable at every level (the code moves `sigma_max z` at the first: its learning
    rate 0.1 there is 0.1 / 80 here); every level but the last in `levels` is used; and n is drawn from the sample's own
    stream (the code has it commented out, the text uses it for operators that are networks).

    Args:
        operator: what is measured.
        denoiser: the consistency model.
        levels: the noise levels, e.g. `MultistepLevels([0, 17, 39])` for two.
        learning_rates: Adam's learning rate at each level but the last, in units of z.
        steps: number of moves at each level but the last; with 0 this is consistency sampling.
        spread: standard deviation tau of the noise on the image before it is measured, >= 0.
        num_samples: number of posterior samples per image.
        seed: the run's seed.

    Raises:
        TypeError: if a part is missing.
        ValueError: if `learning_rates` or `steps` does not have one entry per level but the last, or a number is out
            of range.
    """

    def __init__(
        self,
        operator: Operator,
        denoiser: Denoiser,
        levels: Levels,
        *,
        learning_rates: Sequence[float],
        steps: Sequence[int],
        spread: float = 0.0,
        **common: Any,
    ) -> None:
        super().__init__(operator, denoiser, levels, **common)
        if not len(learning_rates) == len(steps) == len(levels) - 1:
            raise InvalidValueError(
                f"ConsistencyInversion with {levels} needs {len(levels) - 1} learning_rates and steps, "
                f"but got {list(learning_rates)} and {list(steps)}."
            )
        require_not_negative(self, spread=spread)
        for count in steps:
            require_whole(self, 0, steps=count)
        self.optimisers = [Adam(learning_rate) for learning_rate in learning_rates]
        self.steps = list(steps)
        self.spread = spread

    @property
    def length(self) -> int:
        """The moves of all levels, and each level's start."""
        return sum(self.steps) + len(self.steps)

    def moves(
        self, level: int, generator: Generator, z: Tensor, y: Measurement, noise: NoiseSource
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Optimise `z`; see `NoiseSpaceSolver.moves`."""

        def loss(z: Tensor) -> tuple[Tensor, Tensor]:
            x_0 = generator(z)
            blurred = x_0 + self.spread * noise.like(x_0) if self.spread else x_0
            return _loss(self.operator, blurred, y), x_0

        target = differentiate(loss)
        start = target(z)
        yield start.image, start.image
        for point in walk(self.optimisers[level], start, self.steps[level], target, noise):
            yield point.image, point.image


def _loss(operator: Operator, x_0: Tensor, y: Measurement) -> Tensor:
    # Not the energy: inversion is defined without measurement noise too, and Adam does not feel the scale.
    distance = operator.distance(x_0, y)
    return distance.square() if isinstance(operator, GaussianOperator) else distance
