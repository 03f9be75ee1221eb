"""FreeDoM: training-free energy-guided diffusion with time travel.

Yu, Wang, Zhao, Ghanem, Zhang, "FreeDoM: Training-Free Energy-Guided Conditional Diffusion Model", ICCV 2023,
https://arxiv.org/abs/2303.09833; in the variance-exploding form, as in Xu et al. 2024, algorithm 6.
"""

import math
from typing import Any

from dis_lightning.errors import InvalidValueError, require_numbers, require_whole
from dis_lightning.levels import Levels
from dis_lightning.operators.base import Operator
from dis_lightning.priors.base import Denoiser
from dis_lightning.solvers.dps import DPS

__all__ = ["FreeDoM"]


class FreeDoM(DPS):
    """DPS that takes each step of a range of levels K times, and climbs back up in between.

        x_next = transition(x_t, x_0) - scale sigma grad_{x_t} d(A(x_0), y),    x_0 = D(x_t, sigma)
        x_t    = x_next + sqrt(sigma^2 - sigma_next^2) n                        and the step once more

    The noise lifts the marginal at `sigma_next` to that at `sigma`. (The code of Xu et al. holds `sigma_next^2 / sigma`
    as its standard deviation, far too much where levels are dense, but never runs it: there K = 1.) With K = 1 this is
    DPS. One network evaluation and one gradient per visit and sample.

    Args:
        operator: what is measured.
        denoiser: the prior.
        levels: the noise levels.
        scale: guidance strength ζ, >= 0.
        visits: K, how often a step is taken, >= 1.
        travel_range: lowest and highest level at which a step is taken more than once; everywhere if not given. The
            paper's range on 1000 DDPM steps, 500 to 800, is the range from 3.4 to 25.7 here.
        convention: what the scale is measured in: `SigmaScale()`, the papers' and the default, `VPScale()`, that of the
            DPS paper itself, or `LikelihoodScale()`, in which 1 means the likelihood.
        transition: how to go to the next level; ancestral Euler if not given.
        num_samples: number of posterior samples per image.
        seed: the run's seed.

    Raises:
        ValueError: if `scale` or `visits` is out of range, or if `travel_range` is empty or beside all levels.
    """

    def __init__(
        self,
        operator: Operator,
        denoiser: Denoiser,
        levels: Levels,
        *,
        scale: float,
        visits: int = 2,
        travel_range: tuple[float, float] = (0.0, math.inf),
        **common: Any,
    ) -> None:
        super().__init__(operator, denoiser, levels, scale=scale, **common)
        lowest, highest = travel_range
        require_whole(self, 1, visits=visits)  # 1 is a run without time travel
        for level in travel_range:
            require_numbers(self, travel_range=level)
        self.visits = visits
        self.travel_range = travel_range
        if not (lowest <= highest and lowest <= levels[0] and levels[-2] <= highest):
            raise InvalidValueError(
                f"FreeDoM needs a travel_range (lowest, highest) that meets the levels, {levels[0]:g} to "
                f"{levels[-2]:g}, but got {travel_range}; it is in units of sigma, not in steps."
            )

    def visits_at(self, sigma: float) -> int:
        """K inside the range, 1 outside."""
        lowest, highest = self.travel_range
        return self.visits if lowest <= sigma <= highest else 1
