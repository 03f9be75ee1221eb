"""Noise levels: the decreasing sequence of `sigma` that a sampler walks down.

Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022, equation 5:

    sigma_i = (sigma_max^(1/rho) + i / (n - 1) * (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho,    i = 0 .. n - 1

Levels are plain floats in double precision: they steer the loop, and a tensor would make it wait for the device.
"""

import bisect
import math
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import overload

from torch import Tensor

from dis_lightning.described import Described
from dis_lightning.errors import InvalidValueError, require_numbers, require_positive, require_whole
from dis_lightning.schedules import MOST_STEPS, DiscreteSchedule, Schedule

__all__ = ["GrowingSignalLevels", "KarrasLevels", "Levels", "MultistepLevels", "VPLevels", "karras"]


@overload
def karras(fraction: float, sigma_min: float, sigma_max: float, rho: float) -> float: ...
@overload
def karras(fraction: float, sigma_min: float, sigma_max: float | Tensor, rho: float) -> float | Tensor: ...
def karras(fraction: float, sigma_min: float, sigma_max: float | Tensor, rho: float) -> float | Tensor:
    """The level at `fraction` of the way from `sigma_max` (0), one or several, to `sigma_min` (1)."""
    top, bottom = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    level: float | Tensor = (top + fraction * (bottom - top)) ** rho
    return level


class Levels(Described, Sequence[float]):
    """A strictly decreasing sequence of at least two noise levels, all >= 0.

    Args:
        sigmas: the levels, the largest first.

    Raises:
        ValueError: if there are fewer than two, if they do not decrease, or if one is negative.
    """

    def __init__(self, sigmas: Sequence[float]) -> None:
        for sigma in sigmas:
            require_numbers(self, sigmas=sigma)
        self._sigmas = tuple(float(sigma) for sigma in sigmas)
        falling = all(a > b for a, b in pairwise(self._sigmas))
        if len(self._sigmas) < 2 or not falling or self._sigmas[-1] < 0 or math.isinf(self._sigmas[0]):
            raise InvalidValueError(
                "Noise levels must be two or more, strictly decreasing and >= 0, none infinite, but got "
                f"{self._sigmas}."
            )

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[float, ...]: ...
    def __getitem__(self, index: int | slice) -> float | tuple[float, ...]:
        return self._sigmas[index]

    def __len__(self) -> int:
        return len(self._sigmas)

    def below(self, sigma: float) -> float:
        """The level that a step from `sigma` goes to: the largest below it, and from the last one 0."""
        place = bisect.bisect_right(self._sigmas, -sigma, key=lambda level: -level)
        return self._sigmas[place] if place < len(self) else 0.0


class GrowingSignalLevels(Levels):
    """The few levels of restoration with a consistency model, and a last 0 (Garber and Tirer, CM4IR, 2025).

        sigma_k = sqrt(1 - a_k),    a_1 = abar(start + 1),    a_(k+1) = min((1 + growth) a_k, 0.9999)

    `abar` is that of DDPM with 1000 linear steps, betas from 1e-4 to 0.02. So all levels lie between 0.01 and 1. Where
    several reach 0.01, which published settings do, each lies a millionth below the one before.

    Args:
        start: step of DDPM that the walk begins at, 0 .. 998: the authors' `iN`.
        growth: relative growth of the signal's variance per level, > 0: the authors' γ.
        steps: number of levels above 0, at least 1.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(self, start: int, growth: float, steps: int = 4) -> None:
        require_whole(self, 0, 998, start=start)
        require_whole(self, 1, MOST_STEPS, steps=steps)
        require_positive(self, growth=growth)
        signal = 1 / (1 + float(DiscreteSchedule.named("linear").sigmas[start + 1]) ** 2)
        sigmas: list[float] = []
        for step in range(steps):
            sigma = math.sqrt(1 - min(signal * (1 + growth) ** step, 0.9999))
            sigmas.append(sigma if not sigmas or sigma < sigmas[-1] else sigmas[-1] * (1 - 1e-6))
        super().__init__([*sigmas, 0.0])


class KarrasLevels(Levels):
    """The `steps` levels of Karras et al. and a last 0: `steps` network evaluations.

    Args:
        steps: number of steps, at least 1.
        sigma_min: the last level above 0.
        sigma_max: the first level. It must be several times the spread of the data, or the start is not pure noise.
        rho: how densely the low levels are covered.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(self, steps: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0) -> None:
        _check_grid(self, steps, 1, sigma_min, sigma_max, rho)
        fractions = [i / (steps - 1) for i in range(steps)] if steps > 1 else [0.0]
        super().__init__([*(karras(f, sigma_min, sigma_max, rho) for f in fractions), 0.0])


class VPLevels(Levels):
    """Levels that a variance-preserving network was trained on, and a last 0: `steps` network evaluations.

    All 1000 of them are the steps of DDPM, which DPS's published settings are for; fewer are chosen as guided-diffusion
    does.

    Args:
        steps: how many, at least 2: from the first to the last level as evenly as rounding allows. Or as text, such as
            "ddim50": by a whole stride from the lowest level, which leaves the highest out.
        schedule: the schedule: "linear", "scaled_linear" or "cosine"; see `schedules`.
        trained_steps: number of levels that there are.

    Raises:
        ValueError: if there is no such schedule, or it has not as many levels.
    """

    def __init__(self, steps: int | str, schedule: Schedule = "linear", trained_steps: int = 1000) -> None:
        super().__init__([*DiscreteSchedule.named(schedule, trained_steps).respaced(steps), 0.0])


class MultistepLevels(Levels):
    """Levels of multistep consistency sampling, named by their indices on the training grid.

    Song et al., "Consistency Models", 2023, algorithm 1. The published two-step settings are, for example,
    `indices=[0, 17, 39], steps=40` for consistency distillation by LPIPS on LSUN bedroom, and `[0, 18, 39]` by L2.

    Args:
        indices: increasing indices into the training grid; the last is normally `steps - 1`, the level `sigma_min`.
        steps: number of levels of the training grid: 40 for distilled models, 151 (LSUN) or 201 (ImageNet-64) for
            models trained without a teacher.
        sigma_min: last level of the training grid.
        sigma_max: first level of the training grid.
        rho: exponent of the training grid.

    Raises:
        ValueError: if an index lies outside the grid or the indices do not increase, or if a number is out of range.
    """

    def __init__(
        self,
        indices: Sequence[int],
        steps: int = 40,
        sigma_min: float = 0.002,
        sigma_max: float = 80.0,
        rho: float = 7.0,
    ) -> None:
        _check_grid(self, steps, 2, sigma_min, sigma_max, rho)
        for index in indices:
            require_numbers(self, indices=index)
        if any(not 0 <= index < steps for index in indices):
            raise InvalidValueError(
                f"The indices of a grid with {steps} levels lie in 0 .. {steps - 1}, but got {list(indices)}."
            )
        super().__init__([karras(index / (steps - 1), sigma_min, sigma_max, rho) for index in indices])


def _check_grid(levels: Levels, steps: int, least: int, sigma_min: float, sigma_max: float, rho: float) -> None:
    require_whole(levels, least, MOST_STEPS, steps=steps)
    require_numbers(levels, sigma_min=sigma_min, sigma_max=sigma_max, rho=rho)
    if not 0 < sigma_min < sigma_max < math.inf or not 0 < rho < math.inf:
        raise InvalidValueError(
            f"{type(levels).__name__} needs 0 < sigma_min < sigma_max and rho > 0, none infinite, but got "
            f"sigma_min={sigma_min}, sigma_max={sigma_max}, rho={rho}."
        )
    with suppress(OverflowError):
        if sigma_min ** (1 / rho) > 0 and sigma_max ** (1 / rho) < math.inf:
            return
    raise InvalidValueError(
        f"{type(levels).__name__} cannot take so small a rho: the roots of the levels are no numbers at rho={rho}."
    )
