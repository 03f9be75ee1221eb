"""The discrete schedules of variance-preserving diffusion, in the variable of this package.

A network was trained on `z_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) n` with `abar_t = prod_(k <= t) (1 - beta_k)`, at
the indices t = 0 .. T - 1. Divided by `sqrt(abar_t)` that is `x_0 + sigma_t n`, the variable of all samplers here, with

    sigma_t = sqrt(1 / abar_t - 1),    z_t = x_t / sqrt(1 + sigma_t^2)

Between two levels of the table the index is interpolated linearly in `log sigma`: at each level it is the trained index
exactly. Above and below the table it is that of the last level: the image keeps the noise that it has, and the network
is told the nearest one that it knows.

    linear           beta from 1e-4 to 0.02 at T = 1000 (Ho et al., 2020), as guided-diffusion scales it for other T
    scaled_linear    sqrt(beta) linear, from 0.00085 to 0.012 (Rombach et al., 2022)
    cosine           abar_t = f(t + 1) / f(0),  f(t) = cos^2((t / T + 0.008) / 1.008 pi / 2), beta at most 0.999
                     (Nichol and Dhariwal, 2021)
"""

import math
from bisect import bisect
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise, repeat
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError, require_whole

__all__ = ["MOST_STEPS", "DiscreteSchedule", "Schedule"]

MOST_STEPS = 1_000_000
"""Levels of a schedule, and steps of a walk; above it is a slip, which would end nowhere."""

Schedule = Literal["linear", "scaled_linear", "cosine"]
"""The schedules that are known by name."""


class DiscreteSchedule:
    """A table of noise levels, and the index of any level.

    Args:
        betas: the variance that each step adds, `(T,)`, T >= 2, each in (0, 1); a last 1 leaves nothing of the image,
            and is left out.

    Attributes:
        sigmas: the levels by index, increasing, in double precision.

    Raises:
        ValueError: if there are fewer than two levels, or a variance is out of range.
    """

    def __init__(self, betas: Sequence[float] | Tensor) -> None:
        betas = torch.as_tensor(betas, dtype=torch.float64).flatten()
        if len(betas) and betas[-1] == 1:
            betas = betas[:-1]
        if len(betas) < 2 or not ((betas > 0) & (betas < 1)).all():
            raise InvalidValueError(f"A schedule needs two or more variances in (0, 1), but got {betas.tolist()}.")
        self.sigmas = (1 / torch.cumprod(1 - betas, dim=0) - 1).sqrt()
        self._logs: tuple[float, ...] = tuple(self.sigmas.log().tolist())

    @classmethod
    def named(cls, name: str, steps: int = 1000) -> Self:
        """A schedule that is known by name.

        Args:
            name: one of `Schedule`.
            steps: number of levels, T.

        Raises:
            ValueError: if it is not known.
        """
        require_whole("A schedule", 2, MOST_STEPS, steps=steps)
        if name not in get_args(Schedule):
            raise InvalidValueError(f"schedule must be one of {', '.join(get_args(Schedule))}, but got {name!r}.")
        known: dict[str, dict[str, Any]] = {
            "linear": {"beta_start": 0.1 / steps, "beta_end": 20 / steps},
            "scaled_linear": {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
            "cosine": {"beta_schedule": "squaredcos_cap_v2"},
        }
        return cls.described({"num_train_timesteps": steps, **known[name]})

    @classmethod
    def described(cls, config: Mapping[str, Any]) -> Self:
        """The schedule that a `scheduler_config.json` of diffusers describes.

        Its sampler may rescale the variances so that the last leaves nothing of the image; that level is left out.

        Args:
            config: its content.

        Raises:
            ValueError: if the schedule is not known.
        """
        steps = int(config.get("num_train_timesteps") or 1000)
        start, end = float(config.get("beta_start") or 1e-4), float(config.get("beta_end") or 0.02)
        kind = config.get("beta_schedule", "linear")
        if trained := config.get("trained_betas"):
            betas = torch.tensor(trained, dtype=torch.float64)
        elif kind == "linear":
            betas = torch.linspace(start, end, steps, dtype=torch.float64)
        elif kind == "scaled_linear":
            betas = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64).square()
        elif kind == "squaredcos_cap_v2":
            betas = _cosine(steps)
        elif kind == "sigmoid":
            betas = torch.linspace(-6, 6, steps, dtype=torch.float64).sigmoid() * (end - start) + start
        else:
            raise InvalidValueError(
                "beta_schedule must be one of linear, scaled_linear, squaredcos_cap_v2, sigmoid, or trained_betas be "
                f"given, but got {kind!r}."
            )
        return cls(_without_signal(betas) if config.get("rescale_betas_zero_snr") else betas)

    def __len__(self) -> int:
        return len(self._logs)

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest level."""
        return float(self.sigmas[0]), float(self.sigmas[-1])

    def times(self, sigma: float | Tensor, rows: int, device: torch.device) -> Tensor:
        """The index of noise levels, `(rows,)`, in float32; a float does not make the host wait for the device.

        Args:
            sigma: a level, or one per row, `(rows,)`; > 0.
            rows: number of rows.
            device: where the result is needed.

        Raises:
            ValueError: if a level given as a float is not positive.
        """
        if isinstance(sigma, Tensor):
            return self._interpolated(sigma.to(device).reshape(-1).expand(rows))
        if sigma <= 0:
            raise InvalidValueError(f"A network denoises at sigma > 0, but got {sigma}.")
        return torch.full((rows,), self.time(sigma), device=device)

    def time(self, sigma: float) -> float:
        """The index of one level, in 0 .. T - 1."""
        level, logs = math.log(sigma), self._logs
        if level <= logs[0]:
            return 0.0
        if level >= logs[-1]:
            return float(len(logs) - 1)
        low = bisect(logs, level) - 1
        return low + (level - logs[low]) / (logs[low + 1] - logs[low])

    def _interpolated(self, sigmas: Tensor) -> Tensor:
        logs = torch.tensor(self._logs, dtype=torch.float64, device=sigmas.device)
        levels = sigmas.double().log().clamp(logs[0], logs[-1])
        low = (torch.searchsorted(logs, levels, right=True) - 1).clamp(0, len(logs) - 2)
        return (low + (levels - logs[low]) / (logs[low + 1] - logs[low])).float()

    def respaced(self, steps: int | str) -> list[float]:
        """Some of the levels, decreasing, as guided-diffusion chooses them.

        Args:
            steps: how many, from the first to the last as evenly as rounding allows; or "ddim" and a number, which
                must be reached by a whole stride from the first.

        Raises:
            ValueError: if there are not so many, or no stride gives that number.
        """
        total = len(self)
        number = str(steps).removeprefix("ddim")
        if not number.isdecimal() or not 2 <= int(number) <= total:
            raise InvalidValueError(f'steps must be in 2 .. {total}, or such as "ddim50", but got {steps!r}.')
        count = int(number)
        if number == str(steps):
            stride = (total - 1) / (count - 1)
            # Summed up as there, for the rounding of a sum decides some of them.
            indices = [round(place) for place in accumulate(repeat(stride, count - 1), initial=0.0)]
        else:
            strides = [stride for stride in range(1, total) if len(range(0, total, stride)) == count]
            if not strides:
                raise InvalidValueError(f"No whole stride takes {count} of {total} levels: choose another number.")
            indices = list(range(0, total, strides[0]))
        assert all(a < b for a, b in pairwise(indices))
        return [float(self.sigmas[index]) for index in reversed(indices)]


def _cosine(steps: int) -> Tensor:
    def left(t: float) -> float:
        return math.cos((t / steps + 0.008) / 1.008 * math.pi / 2) ** 2

    return torch.tensor([min(1 - left(t + 1) / left(t), 0.999) for t in range(steps)], dtype=torch.float64)


def _without_signal(betas: Tensor) -> Tensor:
    """Shift and stretch `sqrt(abar)` so that the last is 0 and the first stays (Lin et al., 2024, algorithm 1)."""
    root = torch.cumprod(1 - betas, dim=0).sqrt()
    abar = ((root - root[-1]) * root[0] / (root[0] - root[-1])).square()
    return 1 - torch.cat([abar[:1], abar[1:] / abar[:-1]])
