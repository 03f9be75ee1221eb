"""The consistency map of any denoiser, by integrating its probability flow.

    dx / dsigma = (x - D(x, sigma)) / sigma        from sigma down to sigma_min

by Heun's method (Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022, algorithm 1)
over the levels of their equation 5. Each row has its own levels, so `sigma` may differ from image to image.

Or by DPM-Solver++(2M) (Lu et al., 2022, https://arxiv.org/abs/2211.01095, algorithm 2), of second order too: the
estimate that holds from `sigma` to `sigma_next` is read off the line through the last two, at half way in `log sigma`:

    h = log(sigma / sigma_next),    D' = D + (h / 2 h_before) (D - D_before),    x_next = D' + e^-h (x - D')
"""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import ClassVar, Self

import torch
from torch import Tensor

from dis_lightning.errors import require_positive, require_whole
from dis_lightning.levels import karras
from dis_lightning.priors.base import Denoiser, Kind, per_image, require_kind

__all__ = ["FlowMap", "extended"]


class FlowMap(Denoiser):
    """The map from `x_t` at any level to `sigma_min`, along the probability flow through it.

    Differentiable; costs `2 steps` evaluations of the denoiser, `steps` if `multistep`. The error falls with the square
    of the steps; on mixtures both methods are as good at equally many steps.

    Args:
        denoiser: posterior mean whose flow is followed.
        steps: number of Heun steps from any level, at least 1.
        sigma_min: where the trajectories end, > 0.
        rho: how densely the low levels are covered, > 0.
        multistep: whether to take DPM-Solver++(2M) instead of Heun's method.

    Raises:
        ValueError: if an argument is out of range, or the denoiser is a consistency map itself.
    """

    kind: ClassVar[Kind] = "consistency map"

    def __init__(
        self,
        denoiser: Denoiser,
        steps: int = 64,
        sigma_min: float = 0.002,
        rho: float = 7.0,
        multistep: bool = False,
    ) -> None:
        super().__init__()
        require_whole(self, 1, steps=steps)
        require_positive(self, sigma_min=sigma_min, rho=rho)
        require_kind(self, "denoiser", denoiser, "posterior mean")
        self.shape = denoiser.shape
        self.num_classes = denoiser.num_classes
        self.sigma_range = denoiser.sigma_range
        self.denoiser = denoiser
        self.steps = steps
        self.sigma_min = sigma_min
        self.rho = rho
        self.multistep = multistep

    @property
    def counted(self) -> tuple[Denoiser, ...]:
        """See `Denoiser.counted`."""
        return self.denoiser.counted

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        """Follow the probability flow from `sigma` to `sigma_min`; see `Denoiser.forward`."""
        between = [karras(step / self.steps, self.sigma_min, sigma, self.rho) for step in range(1, self.steps)]
        levels = [sigma, *between, self.sigma_min]
        if self.multistep:
            return deque(extended(self.denoiser, x_t, levels), maxlen=1).pop()
        x = x_t
        for level, level_next in pairwise(levels):
            x = self._heun(x, level, level_next)
        return x

    def given(self, labels: Tensor) -> Self:
        """Bind class labels to the denoiser; see `Denoiser.given`."""
        return type(self)(self.denoiser.given(labels), self.steps, self.sigma_min, self.rho, self.multistep)

    def _heun(self, x: Tensor, sigma: float | Tensor, sigma_next: float | Tensor) -> Tensor:
        s, s_next = per_image(sigma, x), per_image(sigma_next, x)
        slope = (x - self.denoiser(x, sigma)) / s
        x_next = x + (s_next - s) * slope
        slope_next = (x_next - self.denoiser(x_next, sigma_next)) / s_next
        mean: Tensor = x + (s_next - s) * (slope + slope_next) / 2
        return mean


def extended(denoiser: Denoiser, x_t: Tensor, levels: Sequence[float | Tensor]) -> Iterator[Tensor]:
    """Follow the probability flow by DPM-Solver++(2M), one evaluation a step; see the head of the file.

    Args:
        denoiser: the posterior mean D.
        x_t: images at the first level, `(N, *shape)`.
        levels: levels > 0, each a number or one per row, `(N,)`.

    Returns:
        The images at each further level.
    """
    x = x_t
    # In tensors of one number where all rows have one level, so that one line serves both.
    shaped = [torch.as_tensor(per_image(level, x), dtype=x.dtype, device=x.device) for level in levels]
    before: tuple[Tensor, Tensor] | None = None
    for level, s, s_next in zip(levels, shaped, shaped[1:], strict=False):
        x_0 = denoiser(x, level)
        h = (s / s_next).log()
        line = x_0
        if before is not None:
            x_0_before, h_before = before
            # A row that starts where the flow ends takes no step at all.
            line = x_0 + h / (2 * h_before.where(h_before != 0, 1.0)) * (x_0 - x_0_before)
        x = line + s_next / s * (x - line)
        before = x_0, h
        yield x
