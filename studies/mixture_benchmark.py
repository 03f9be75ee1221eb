"""The mixtures of Cardoso et al., MCGdiff, 2023, in their published form: many priors and measurements.

    python -m studies.mixture_benchmark [--dimensions 8 80 800] [--seeds 20]

Each seed draws the weights of 25 modes, a matrix, a noise level and an image (`studies.problems.mixture_problem`);
`d_y` of `d_x` numbers are measured. Scores compare 1000 samples with as many exact ones over 1000 directions:

    SW        sliced Wasserstein-1 distance: mean ± 1.96 standard errors over the seeds, and their median
    max-SW    the largest of the distances along 100 directions, as in the run below

All solvers take 200 levels from six times the largest norm of a mean, and nothing is tuned: DPS has the paper's scale
of 1, PiGDM the spread of a mode, and the twist of TDS that of the whole law.

Published, max-SW with 8 dimensions, one seed, 100 steps of DDIM (repository of the authors' benchmark, `d_y` 1, 2, 4):

    DDRM                    29.7    13.6    0.49
    DPS, scale 1            27.2    18.7    12.4
    MCGdiff, 32 particles   19.8    10.8    1.00
    MCGdiff, 128 particles  5.2     4.3     0.18
"""

import argparse
import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from torch import Tensor

from dis_lightning.levels import KarrasLevels
from dis_lightning.posteriors import PosteriorSpread
from dis_lightning.progress import counted
from dis_lightning.solvers import DDRM, DPS, MMPS, TDS, PiGDM, Solver, Unguided
from studies.problems import Problem, mixture_problem
from studies.scores import sliced_distances
from studies.trials import Score

__all__ = ["ROWS", "compare", "main", "sigma_max"]

DIMENSIONS, MEASURED = (8, 80, 800), (1, 2, 4)
SAMPLES, LEVELS = 1000, 200
DIRECTIONS, FEW = 1000, 100
SIGMA_MIN = 0.01
SPREAD = 8 * math.sqrt(2)
"""Standard deviation of one number of an image if all modes weighed the same."""
NORMS = 6.0
"""How many times the largest norm of a mean the noise is at first."""


def sigma_max(dimension: int) -> float:
    """First noise level: the largest mean, `(16, 16, ...)`, is 16 sqrt(dimension) long."""
    return NORMS * 16 * math.sqrt(dimension)


def _solved(kind: Callable[..., Solver], **own: Any) -> Callable[[Problem, int, int], Tensor]:
    def draw(problem: Problem, num_samples: int, levels: int) -> Tensor:
        karras = KarrasLevels(levels, SIGMA_MIN, sigma_max(problem.truth.shape[1]))
        counts = {"particles": num_samples} if kind is TDS else {}
        return problem.draw(kind(problem.operator, problem.prior, karras, num_samples=num_samples, **counts, **own))

    return draw


def _oracle(problem: Problem, num_samples: int, levels: int) -> Tensor:
    return problem.oracle(KarrasLevels(levels, SIGMA_MIN, sigma_max(problem.truth.shape[1])), num_samples)


ROWS: dict[str, Callable[[Problem, int, int], Tensor]] = {
    "exact samples": lambda problem, num_samples, _: problem.exact(num_samples, batch=1),
    "exact conditional denoiser": _oracle,
    "prior, unguided": _solved(Unguided),
    "DPS, scale 1": _solved(DPS, scale=1.0),
    "DDRM": _solved(DDRM),
    "PiGDM": _solved(PiGDM, spread=PosteriorSpread(1.0)),
    "MMPS, 3 iterations": _solved(MMPS, iterations=3),
    "TDS, a particle per sample": _solved(TDS, spread=PosteriorSpread(SPREAD)),
}
"""What is compared: samples of a problem, by their number and that of the levels."""


def compare(
    dimension: int, num_measured: int, seeds: int, num_samples: int = SAMPLES, levels: int = LEVELS
) -> dict[str, list[tuple[float, float]]]:
    """SW and max-SW of every row, for each seed.

    Args:
        dimension: `d_x`, even.
        num_measured: `d_y`.
        seeds: number of problems.
        num_samples: number of posterior samples, and of exact ones.
        levels: number of levels above 0.
    """
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ROWS}
    for seed in counted(range(seeds), f"{dimension} dimensions, {num_measured} measured"):
        problem = mixture_problem(dimension, num_measured, seed)
        exact = problem.exact(num_samples)
        for name, draw in ROWS.items():
            samples = draw(problem, num_samples, levels)
            along = sliced_distances(samples, exact, DIRECTIONS)
            found[name].append((float(along.mean()), float(along[:FEW].max())))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table for each number of dimensions."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.mixture_benchmark", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--dimensions", type=int, nargs="+", default=DIMENSIONS, help="d_x, even numbers")
    parser.add_argument("--seeds", type=int, default=20, help="number of priors and measurements")
    chosen = parser.parse_args(arguments)
    for dimension in chosen.dimensions:
        columns = [compare(dimension, num_measured, chosen.seeds) for num_measured in MEASURED]
        headings = (
            f"{score}\nd_y = {num_measured}" for num_measured in MEASURED for score in ("SW", "median", "max-SW")
        )
        table = Table("", *headings, title=f"{dimension} dimensions", title_justify="left", box=SIMPLE)
        for name in ROWS:
            table.add_row(name, *(cell for column in columns for cell in _cells(column[name])))
        Console(width=Console(width=1000).measure(table).maximum).print(table)


def _cells(scores: Sequence[tuple[float, float]]) -> tuple[str, str, str]:
    distances, largest = zip(*scores, strict=True)
    mean = Score.over(distances)
    return (
        f"{mean.value:.2f} ± {1.96 * mean.error:.2f}",
        f"{median(distances):.2f}",
        f"{sum(largest) / len(largest):.2f}",
    )


if __name__ == "__main__":
    main()
