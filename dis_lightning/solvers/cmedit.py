"""CMEdit: zero-shot editing by a consistency model.

Song, Dhariwal, Chen, Sutskever, "Consistency Models", ICML 2023, https://arxiv.org/abs/2303.01469, algorithm 4 and
appendix D; a baseline of Purohit et al. 2024.
"""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import LinearOperator, require_linear
from dis_lightning.priors.base import Denoiser
from dis_lightning.solvers.noise_space import Generator, NoiseSpaceSolver
from dis_lightning.types import Measurement

__all__ = ["CMEdit"]


class CMEdit(NoiseSpaceSolver):
    """Consistency sampling in which every image is given the measured part of itself.

        x_0 <- x_0 - A^+ (A x_0 - y)

    This replaces what `A` sees of `x_0` and keeps the rest. Of the operators of the paper it gives exactly the merges
    that are written there with a mask (inpainting) or in an orthonormal basis whose first vector is the constant patch
    (average-pool super-resolution) or the brightness (colourisation). The measurement is taken as it is: its noise
    stays in the samples.

    One network evaluation per level but the last and per sample, no gradient.

    Args:
        operator: what is measured; linear.
        denoiser: the consistency model.
        levels: the noise levels. The authors did not publish theirs; Purohit et al. use all 100 levels of a Karras
            grid, `KarrasLevels(100)`.
        num_samples: number of posterior samples per image.
        seed: the run's seed.

    Raises:
        TypeError: if a part is missing or the operator is not linear.
    """

    operator: LinearOperator

    def __init__(self, operator: LinearOperator, denoiser: Denoiser, levels: Levels, **common: Any) -> None:
        super().__init__(operator, denoiser, levels, **common)
        require_linear(self, operator)

    @property
    def length(self) -> int:
        """One move per level."""
        return len(self.levels) - 1

    def moves(
        self, level: int, generator: Generator, z: Tensor, y: Measurement, noise: NoiseSource
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Make an image of `z` and merge it with the measurement; see `NoiseSpaceSolver.moves`."""
        x_0 = generator(z)
        x_0 = x_0 - self.operator.pseudo_inverse(self.operator.residual(x_0, y))
        yield x_0, x_0
