"""PnP-CM: a consistency model as the proximal map of ADMM.

Gulle, Yun, Alcalar, Akcakaya, "Consistency Models as Plug-and-Play Priors for Inverse Problems", CVPR 2026,
https://arxiv.org/abs/2509.22736.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError, require_not_negative, require_numbers, require_whole
from dis_lightning.kernels import Adam, differentiate, walk
from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import LinearOperator, Operator, tensor
from dis_lightning.operators.inpainting import Inpainting
from dis_lightning.priors.base import Denoiser
from dis_lightning.solvers.base import Solver
from dis_lightning.solvers.cm4ir import model_deltas
from dis_lightning.solvers.functional.proximity import first_guess, misfit, near
from dis_lightning.types import Measurement, State

__all__ = ["PnPCM"]


class PnPCM(Solver):
    """Let the measurement and a consistency model take turns until they agree: ADMM with noise and momentum.

        z   = argmin_z  misfit(z) + rho_k |z - (x^ - u^)|^2 / 2
        x   = f(z + u^ + sigma n, (1 + delta_k) sigma)
        u   = u^ + z - x
        x^  = x + mu / k (x - x_before),    u^ = u + mu / k (u - u_before)

    at the levels in turn, k = 1, 2, ...; misfit is `|A z - y|^2 / 2` and so needs no noise, or the energy where the
    measurement is not Gaussian. The first line is in closed form for linear operators. For others it is descended by
    Adam from the last z, first from `proximity.first_guess`; x and u begin at 0, but for a mask x at the first guess.

    One evaluation of the consistency model per level but the last, and sample: two to eight in the paper. No network
    gradient. The authors' scripts have settings of CelebA-HQ alone; they let Adam's steps shrink where the misfit
    grows, which is not done here, and take plain gradient descent for phase retrieval and JPEG.

    Args:
        operator: what is measured.
        denoiser: the consistency model.
        levels: the noise levels, all but the last above 0; the paper's are `GrowingSignalLevels`.
        penalties: first and last ρ_k, before `log(1 + exp(.))`, evenly spaced in between.
        momentum: μ, >= 0.
        deltas: δ_k, by how much the model is told more noise than there is, one >= 0 for each level but the last; 0.1
            as in the authors' code if not given.
        learning_rate: Adam's, for operators that are not linear, > 0.
        descent_steps: its steps per level, >= 1.
        num_samples: number of results per image.
        seed: the run's seed.

    Raises:
        TypeError: if a part is missing.
        ValueError: if an argument is out of range, or the denoiser is known to be no consistency map.
    """

    prior_kind = "consistency map"

    def __init__(
        self,
        operator: Operator,
        denoiser: Denoiser,
        levels: Levels,
        *,
        penalties: tuple[float, float] = (-4.0, 4.0),
        momentum: float = 0.1,
        deltas: Sequence[float] | None = None,
        learning_rate: float = 0.05,
        descent_steps: int = 100,
        **common: Any,
    ) -> None:
        super().__init__(operator, denoiser, **common)
        self._take_levels(levels)  # what the deltas add to them is the paper's
        require_not_negative(self, momentum=momentum)
        require_numbers(self, learning_rate=learning_rate)
        require_whole(self, 1, descent_steps=descent_steps)
        for penalty in penalties:
            require_numbers(self, penalties=penalty)
        if not all(map(math.isfinite, penalties)):
            raise InvalidValueError(f"PnPCM needs finite penalties, but got penalties={penalties}.")
        steps = len(levels) - 1
        self.penalties = torch.nn.functional.softplus(torch.linspace(*penalties, steps, dtype=torch.float64)).tolist()
        self.momentum = momentum
        self.deltas = model_deltas(self, (0.1,) * steps if deltas is None else deltas, steps)
        self.optimiser = Adam(learning_rate)
        self.descent_steps = descent_steps

    @torch.no_grad()
    def iterate(self, y: Measurement, noise: NoiseSource) -> Iterator[State]:
        """Take turns, once per level; see the class."""
        z = first_guess(self.operator, y, self.denoiser.shape, noise)
        x = x_ahead = z if isinstance(self.operator, Inpainting) else torch.zeros_like(z)
        u = u_ahead = torch.zeros_like(z)
        for step, sigma in enumerate(self.levels[:-1], start=1):
            x_before, u_before = x, u
            z = self._meet(z, x_ahead - u_ahead, y, self.penalties[step - 1], noise)
            x = self.denoiser(z + u_ahead + sigma * noise.like(z), (1 + self.deltas[step - 1]) * sigma)
            u = u_ahead + z - x
            ahead = self.momentum / step
            x_ahead, u_ahead = x + ahead * (x - x_before), u + ahead * (u - u_before)
            yield State(x, x, sigma, step, len(self.levels) - 1)

    def _meet(self, z: Tensor, centre: Tensor, y: Measurement, penalty: float, noise: NoiseSource) -> Tensor:
        """The image between `centre` and the measurement, searched from `z` where it has no closed form."""
        operator = self.operator
        if isinstance(operator, LinearOperator):
            return operator.proximal(centre, tensor(y), 1 / penalty)
        target = differentiate(near(lambda x: misfit(operator, x, y), centre, penalty**-0.5))
        for point in walk(self.optimiser, target(z), self.descent_steps, target, noise):
            z = point.z
        return z
