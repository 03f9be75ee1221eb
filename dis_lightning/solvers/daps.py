"""DAPS: decoupled annealing posterior sampling.

Zhang, Chu, Berner, Meng, Anandkumar, Song, "Improving Diffusion Inverse Problem Solving with Decoupled Noise
Annealing", CVPR 2025, https://arxiv.org/abs/2407.01521, algorithm 1.
"""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from dis_lightning.errors import (
    InvalidTypeError,
    InvalidValueError,
    require_numbers,
    require_positive,
    require_type,
    require_whole,
)
from dis_lightning.kernels import Kernel, differentiate, walk
from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import LinearOperator, Operator, require_density, tensor
from dis_lightning.posteriors import FlatSpread, FlowPosterior, Spread
from dis_lightning.priors.base import Denoiser
from dis_lightning.solvers.annealed import AnnealedSolver
from dis_lightning.solvers.functional.proximity import reach
from dis_lightning.transitions import Renoise
from dis_lightning.types import Guided, Measurement

__all__ = ["DAPS", "DecayingReach"]


@dataclass(frozen=True)
class DecayingReach(Spread):
    """The published step sizes of DAPS: they fall linearly along the levels, to `ratio` of the first.

        p^2 = 1 - (1 - ratio) f,    f = 0 at sigma_max and 1 at sigma_min, even between them on Karras' grid, rho = 7

    With this rule the kernel's `step_size` is the published learning rate as it stands. In the authors' code f counts
    the steps: i of 201 at level i of a grid of 201 levels down to 0.1, so that it would be 1 a level further on, at
    0.094257.

    Args:
        sigma_max: first level, where the step is whole.
        sigma_min: level at which it is down to `ratio`, > 0.
        ratio: of the last to the first step, in (0, 1].

    Raises:
        ValueError: if an argument is out of range.
    """

    sigma_max: float = 100.0
    sigma_min: float = 0.094257
    ratio: float = 0.01

    def __post_init__(self) -> None:
        require_numbers(self, sigma_max=self.sigma_max, sigma_min=self.sigma_min, ratio=self.ratio)
        if not 0 < self.sigma_min < self.sigma_max < math.inf or not 0 < self.ratio <= 1:
            raise InvalidValueError(
                f"DecayingReach needs 0 < sigma_min < sigma_max and ratio in (0, 1], but got {self}."
            )

    def __call__(self, sigma: float) -> float:
        """See the class."""
        top, bottom, here = (level ** (1 / 7) for level in (self.sigma_max, self.sigma_min, sigma))
        fraction = min(max((top - here) / (top - bottom), 0.0), 1.0)
        return math.sqrt(1 - (1 - self.ratio) * fraction)


class DAPS(AnnealedSolver):
    """Go down to a clean image, let it meet the measurement there, and add the noise of the next level.

        x_0    = the end of the probability flow from x_t, in k steps
        x_0'   ~ N(x; x_0, r(sigma)^2) p(y | x)^w
        x_next = x_0' + sigma_next n

    For linear operators the second line is drawn in closed form. For others, or if a kernel is given, a chain walks
    from `x_0`: `x = x_0 + p(sigma) u`, so that a step of size tau in u is one of `tau p^2` in x, which follows the
    level. A `MALA` or `HMC` chain has the law of the second line as its own; an `EulerMaruyama` chain, the paper's,
    nearly.

    k network evaluations per step and sample, no network gradient. The annealing forgets `x_t` at every level; it is as
    good as the law `N(x_0, r^2)` is for `x_0` given `x_t`.

    In the authors' code w is 2 (noise_std / 0.01)^2, which is 50 at their noise of 0.05, r is sigma, and the step is
    `DecayingReach()` with these sizes, 100 moves but where said: down-sampling x4, Gaussian blur and 70 % random
    inpainting 1e-4, box inpainting, motion blur and phase retrieval 5e-5, HDR 2e-5, non-linear blur 1e-5 with 200
    moves.

    Args:
        operator: what is measured, with noise.
        denoiser: the prior, a posterior mean.
        levels: the noise levels; the authors' scripts take 200 from 100 down to 0.106.
        flow_steps: k, >= 1; the authors' scripts take 5.
        flow_sigma_min: lowest level above 0 of the flow, > 0.
        kernel: how the chain moves; for linear operators a draw in closed form if not given.
        moves: number of moves of the chain at each level, >= 1.
        spread: r, how far off `x_0` is believed to be; `FlatSpread()`, the authors' `r = sigma`, if not given.
        reach: p, the unit of the chain's variable; by r and the noise of the measurement if not given
            (`proximity.reach`): then a `step_size` below 1 is stable at all levels for operators that stretch nothing.
        likelihood_weight: w, > 0; 1 is the likelihood.
        num_samples: number of posterior samples per image.
        seed: the run's seed.

    Raises:
        TypeError: if the operator is not linear and there is no kernel.
        ValueError: if an argument is out of range, the prior is known to be a consistency map, or the measurement has
            no noise.
    """

    def __init__(
        self,
        operator: Operator,
        denoiser: Denoiser,
        levels: Levels,
        *,
        flow_steps: int = 5,
        flow_sigma_min: float = 0.01,
        kernel: Kernel | None = None,
        moves: int = 100,
        spread: Spread | None = None,
        reach: Spread | None = None,
        likelihood_weight: float = 1.0,
        **common: Any,
    ) -> None:
        super().__init__(operator, denoiser, levels, transition=Renoise(0.0), **common)
        require_whole(self, 1, flow_steps=flow_steps, moves=moves)
        require_numbers(self, flow_sigma_min=flow_sigma_min)
        require_positive(self, likelihood_weight=likelihood_weight)
        if kernel is None and not isinstance(operator, LinearOperator):
            raise InvalidTypeError(
                f"DAPS needs a `kernel` for {type(operator).__name__}, which is not linear; give EulerMaruyama, MALA "
                "or HMC with a step_size."
            )
        require_density(self, operator)
        self.flow_steps, self.flow_sigma_min = flow_steps, flow_sigma_min
        self._flow()  # refuses its arguments now rather than at the first step
        self.kernel = kernel
        self.moves = moves
        require_type(self, Spread | None, spread=spread, reach=reach)
        self.spread = spread or FlatSpread()
        self.reach = reach
        self.likelihood_weight = likelihood_weight

    def guide(self, x_t: Tensor, sigma: float, y: Measurement, noise: NoiseSource) -> Guided:
        """See the class."""
        x_0 = self._flow()(x_t, sigma, noise).samples[0]
        if self.kernel is None:
            return Guided(self._exact(x_0, self.spread(sigma), y, noise), None)
        return Guided(self._chain(self.kernel, x_0, sigma, y, noise), None)

    def _flow(self) -> FlowPosterior:
        return FlowPosterior(self.denoiser, self.flow_steps, self.flow_sigma_min)

    def _exact(self, x_0: Tensor, spread: float, y: Measurement, noise: NoiseSource) -> Tensor:
        """The minimum for an estimate and a measurement that are both disturbed by their noise has the law wanted."""
        operator, seen = self.operator, tensor(y)
        assert isinstance(operator, LinearOperator)
        noise_std = operator.noise_std / math.sqrt(self.likelihood_weight)
        disturbed = seen + noise_std * noise.like(seen)
        return operator.proximal(x_0 + spread * noise.like(x_0), disturbed, (spread / noise_std) ** 2)

    def _chain(self, kernel: Kernel, x_0: Tensor, sigma: float, y: Measurement, noise: NoiseSource) -> Tensor:
        spread, weight = self.spread(sigma), self.likelihood_weight
        unit = self.reach(sigma) if self.reach else reach(self.operator, spread, weight)

        def energy(u: Tensor) -> tuple[Tensor, Tensor]:
            x = x_0 + unit * u
            pull = u.flatten(1).square().sum(dim=1) / 2  # of which kernels add some themselves
            return weight * self.operator.energy(x, y) + ((unit / spread) ** 2 - kernel.prior_pull) * pull, x

        target = differentiate(energy)
        for point in walk(kernel, target(x_0.new_zeros(x_0.shape)), self.moves, target, noise):
            image = point.image
        return image
