"""Random walks with heavy-tailed increments: Zach, Haouchat, Unser, ICLR 2026, for two of their measurements.

    python -m studies.levy_benchmark [--images 10] [--sweeps 20]

Walks of 64 steps are seen with noise (denoising) or blurred with noise (deconvolution), at 10 dB. A Gibbs sampler
stands for the truth, and makes the denoiser too, so that nothing is trained (`studies.levy`). Scores over the images:

    gap dB   squared error of the solver's posterior mean over that of the Gibbs sampler's mean
    cover    share of the true walks in the region of highest posterior density that holds 90 % of the samples

Gaps that the authors published, with their own settings: denoising Laplace 0.12 (C-DPS) and 0.09 (DiffPIR), Student 1
3.26 and 0.93; deconvolution Laplace 0.12 and 0.07, Student 1 18.3 and 10.45.
"""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import torch
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from torch import Tensor

from dis_lightning.guidance import LikelihoodScale
from dis_lightning.levels import KarrasLevels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import MatrixOperator
from dis_lightning.operators.base import tensor
from dis_lightning.posteriors import PosteriorSpread
from dis_lightning.progress import counted
from dis_lightning.solvers import DPS, MMPS, DiffPIR, PiGDM, Solver
from studies.levy import GibbsDenoiser, Increments, Laplace, Student, gibbs, log_density, walks
from studies.problems import blurring
from studies.scores import density_coverage

__all__ = ["Task", "main", "score", "tasks"]

SIZE, DECIBELS = 64, 10.0
BURN_IN, DRAWS = 500, 2000
SAMPLES, LEVELS, SIGMA_MIN = 19, 50, 0.02
LAWS: tuple[tuple[Increments, float, float], ...] = ((Laplace(), 64.0, 100.0), (Student(1), 800.0, 10_000.0))
"""Increments, about how long a walk is as a vector, and the first noise level."""


class Task(NamedTuple):
    """Walks, what was measured of them, and what the Gibbs sampler says."""

    name: str
    law: Increments
    operator: MatrixOperator
    truth: Tensor
    """`(B, D)`."""
    y: Tensor
    """`(B, M)`."""
    length: float
    """About how long a walk is as a vector: nearly all of its variance lies along one direction."""
    sigma_max: float
    """First noise level."""

    def chain(self) -> Iterator[Tensor]:
        """Posterior samples of all images after burn-in, `(B, D)` each, for ever."""
        noise_std = torch.full((len(self.y),), self.operator.noise_std)
        matrix = self.operator.matrix((SIZE,))
        sweeps = gibbs(self.law, matrix, self.y, noise_std, torch.Generator().manual_seed(1))
        return (x for x, _, _ in islice(sweeps, BURN_IN, None))

    def draw(self, solver: Solver) -> Tensor:
        """A solver's posterior samples of all images, `(B, S, D)`."""
        return solver.solve(self.y, NoiseSource(0, range(len(self.y))))


def tasks(images: int) -> list[Task]:
    """Every law, denoised and deblurred.

    The noise has a tenth of the median power of the signals: a mean does not exist of all laws.
    """
    matrices = {"denoising": torch.eye(SIZE, dtype=torch.float64), "deconvolution": blurring(SIZE)}
    found = []
    for law, length, sigma_max in LAWS:
        truth = walks(law, images, SIZE)
        for name, matrix in matrices.items():
            power = float((truth @ matrix.T).square().mean(1).median())
            operator = MatrixOperator(matrix, noise_std=math.sqrt(power / 10 ** (DECIBELS / 10)))
            y = tensor(operator.measure(truth, NoiseSource(2, range(images))))
            found.append(Task(f"{law.name}, {name}", law, operator, truth, y, length, sigma_max))
    return found


def score(task: Task, samples: Tensor, exact: Tensor) -> tuple[float, float]:
    """Gap in decibels, and coverage.

    Args:
        task: what was solved.
        samples: posterior samples, `(B, S, D)`.
        exact: the Gibbs sampler's means, `(B, D)`.
    """
    errors, ideal = (estimate - task.truth for estimate in (samples.double().mean(1), exact))
    densities = (_log_posterior(task, x) for x in (samples.double().transpose(0, 1), task.truth))
    at_samples, at_truth = densities
    gap = 10 * math.log10(errors.square().sum() / ideal.square().sum())
    return gap, density_coverage(at_samples.T, at_truth)


def solvers(task: Task, denoiser: GibbsDenoiser) -> dict[str, Callable[[], Solver]]:
    """What is compared; nothing is tuned."""
    levels, spread = KarrasLevels(LEVELS, SIGMA_MIN, task.sigma_max), PosteriorSpread(task.length)

    def made(kind: Callable[..., Solver], **own: Any) -> Callable[[], Solver]:
        return lambda: kind(task.operator, denoiser, levels, num_samples=SAMPLES, **own)

    return {
        "DPS, weight of Bayes": made(DPS, scale=1.0, convention=LikelihoodScale(spread)),
        "PiGDM": made(PiGDM, spread=spread),
        "MMPS, 3 iterations": made(MMPS, iterations=3),
        "DiffPIR": made(DiffPIR, spread=spread),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.levy_benchmark", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--images", type=int, default=10, help="number of walks of each kind")
    parser.add_argument(
        "--sweeps", type=int, default=20, help="of the Gibbs sampler in each evaluation of the denoiser"
    )
    chosen = parser.parse_args(arguments)
    columns: dict[str, dict[str, tuple[float, float]]] = {}
    for task in counted(tasks(chosen.images), "Walks"):
        draws = torch.stack(list(islice(task.chain(), DRAWS)), dim=1)
        exact = draws.mean(1)
        found = {"Gibbs sampler": score(task, draws[:, :: DRAWS // SAMPLES][:, :SAMPLES], exact)}
        denoiser = GibbsDenoiser(task.law, SIZE, chosen.sweeps, chosen.sweeps // 3)
        for name, build in solvers(task, denoiser).items():
            found[name] = score(task, task.draw(build()), exact)
        columns[task.name] = found
    headings = (f"{name}\n{column}" for name in columns for column in ("gap dB", "cover"))
    table = Table("", *headings, title="Walks with heavy tails", title_justify="left", box=SIMPLE)
    for name in next(iter(columns.values())):
        table.add_row(name, *(f"{value:.2f}" for found in columns.values() for value in found[name]))
    Console(width=Console(width=1000).measure(table).maximum).print(table)


def _log_posterior(task: Task, x: Tensor) -> Tensor:
    """`log p(x | y)` of walks `(..., B, D)` up to a constant, `(..., B)`."""
    residuals = x @ task.operator.matrix((SIZE,)).T - task.y
    return log_density(task.law, x) - residuals.square().sum(-1) / (2 * task.operator.noise_std**2)


if __name__ == "__main__":
    main()
