"""Consistency sampling: samples of the prior by a consistency model, blind to the measurement.

Song, Dhariwal, Chen, Sutskever, "Consistency Models", ICML 2023, https://arxiv.org/abs/2303.01469, algorithm 1; the
row "CM (Base)" of Xu et al. 2024.
"""

from collections.abc import Iterator

from torch import Tensor

from dis_lightning.noise import NoiseSource
from dis_lightning.solvers.noise_space import Generator, NoiseSpaceSolver
from dis_lightning.types import Measurement

__all__ = ["ConsistencySampling"]


class ConsistencySampling(NoiseSpaceSolver):
    """Sample the prior in one, two or more steps: the row that every method with a consistency model has to beat.

        x_0 = f(sigma_max z, sigma_max),    x_0 <- f(x_0 + sqrt(sigma^2 - sigma_min^2) z, sigma)

    One network evaluation per level but the last and per sample, no gradient. The same as the annealed loop with a
    consistency model as denoiser and the transition `Renoise`. See `NoiseSpaceSolver` for the arguments; the
    consistency model is the `denoiser`.
    """

    @property
    def length(self) -> int:
        """One move per level."""
        return len(self.levels) - 1

    def moves(
        self, level: int, generator: Generator, z: Tensor, y: Measurement, noise: NoiseSource
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Make an image of `z` as it is; see `NoiseSpaceSolver.moves`."""
        x_0 = generator(z)
        yield x_0, x_0
