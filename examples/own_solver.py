"""A solver of your own, whole: copy the file to the folder that you work in, and name its class.

dis-lightning predict --config quickstart --model own_solver.EarlyDPS --model.until 0.5 --writer.folder outputs/early
"""

from typing import Any

from torch import Tensor

from dis_lightning.errors import InvalidValueError
from dis_lightning.guidance import guide_noisy_image
from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import Operator
from dis_lightning.posteriors import PointPosterior
from dis_lightning.priors import Denoiser
from dis_lightning.solvers import AnnealedSolver
from dis_lightning.types import Guided, Measurement


class EarlyDPS(AnnealedSolver):
    """DPS that leaves the last levels to the prior.

    What the constructor takes is what YAML and the command line offer, with these words as its help.

    Args:
        operator: what is measured.
        denoiser: the prior.
        levels: the noise levels.
        scale: guidance strength, >= 0.
        until: the level down to which the measurement is followed.
        **common: `transition`, `num_samples` and `seed`, see `AnnealedSolver`.

    Raises:
        ValueError: if `scale` is negative.
    """

    def __init__(
        self,
        operator: Operator,
        denoiser: Denoiser,
        levels: Levels,
        *,
        scale: float,
        until: float = 0.5,
        **common: Any,
    ) -> None:
        super().__init__(operator, denoiser, levels, **common)
        if scale < 0:  # an InvalidValueError is shown to the user as one line, without a traceback
            raise InvalidValueError(f"EarlyDPS needs scale >= 0, but got {scale}.")
        self.scale = scale
        self.until = until

    def guide(self, x_t: Tensor, sigma: float, y: Measurement, noise: NoiseSource) -> Guided:
        """The estimate of the clean images, and what is taken from the noisy ones."""
        if sigma < self.until:
            return Guided(self.denoiser(x_t, sigma), None)
        posterior = PointPosterior(self.denoiser)
        x_0, slope = guide_noisy_image(x_t, sigma, y, posterior, self.operator, noise)
        return Guided(x_0, self.scale * sigma * slope)
