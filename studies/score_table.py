"""One table of solvers and their scores on several trials, and who is nearest; for terminals and for Markdown."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from rich.box import SIMPLE
from rich.table import Table

from studies.trials import Score, Trial

__all__ = ["Row", "as_markdown", "as_table", "nearest", "nearest_as_markdown", "nearest_as_table"]


class Row(NamedTuple):
    """A line of the table."""

    name: str
    """The contestant."""
    scores: tuple[tuple[Score, ...] | None, ...]
    """Its scores on each trial; None where it cannot be tried."""
    costs: tuple[tuple[float, float] | None, ...]
    """Evaluations and gradients of a network per sample on each trial; None where it cannot be tried."""
    sampler: bool = True
    """Whether a user could run it: not, where it knows the posterior."""


class Nearest(NamedTuple):
    """The sampler with the smallest distance on a trial."""

    problem: str
    name: str
    distance: Score
    floor: Score
    cost: tuple[float, float]

    @property
    def ratio(self) -> float:
        """Its distance over that of exact samples."""
        return self.distance.value / self.floor.value


def nearest(trials: Sequence[Trial], rows: Sequence[Row]) -> list[Nearest]:
    """Who comes nearest to the exact posterior of each trial.

    Args:
        trials: the problems.
        rows: the first is that of exact samples.
    """
    exact, *others = rows
    found = []
    for place, trial in enumerate(trials):
        best = min((row for row in others if row.sampler), key=lambda row: _distance(row.scores[place]))
        scores, cost, floor = best.scores[place], best.costs[place], exact.scores[place]
        assert scores is not None
        assert cost is not None
        assert floor is not None
        found.append(Nearest(trial.problem.name, best.name, scores[0], floor[0], cost))
    return found


def as_table(trials: Sequence[Trial], rows: Sequence[Row]) -> Table:
    """The rows for a terminal."""
    table = Table("", title="Every solver on exact posteriors", title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    for trial in trials:
        for place, column in enumerate(trial.columns):
            # The name of a problem stands above its first column alone.
            first, _, second = trial.problem.name.partition(", ")
            heading = f"{first}\n{second}" if place == 0 else "\n"
            table.add_column(f"{heading}\n{column}", justify="right", no_wrap=True)
    for heading in COSTS:
        table.add_column(f"\n\n{heading}", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.name, *_cells(trials, row))
    return table


def as_markdown(trials: Sequence[Trial], rows: Sequence[Row]) -> str:
    """The rows as a table in Markdown."""
    headings = [f"{trial.problem.name}: {column}" for trial in trials for column in trial.columns]
    return _markdown(["solver", *headings, *COSTS], [[row.name, *_cells(trials, row)] for row in rows])


def nearest_as_table(trials: Sequence[Trial], rows: Sequence[Row]) -> Table:
    """Who comes nearest, for a terminal."""
    table = Table(*NEAREST, title="The nearest", title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    for line in _nearest_cells(trials, rows):
        table.add_row(*line)
    return table


def nearest_as_markdown(trials: Sequence[Trial], rows: Sequence[Row]) -> str:
    """Who comes nearest, as a table in Markdown."""
    return _markdown(list(NEAREST), _nearest_cells(trials, rows))


COSTS = ("evaluations", "gradients")
NEAREST = ("problem", "nearest sampler", "distance", "floor", "ratio", *COSTS)


def _markdown(headings: list[str], lines: list[list[str]]) -> str:
    ruler = ["---", *["---:"] * (len(headings) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [headings, ruler, *lines])


def _nearest_cells(trials: Sequence[Trial], rows: Sequence[Row]) -> list[list[str]]:
    return [
        [best.problem, best.name, _short(best.distance), _short(best.floor), f"{best.ratio:.2f}"]
        + [f"{cost:.0f}" for cost in best.cost]
        for best in nearest(trials, rows)
    ]


def _cells(trials: Sequence[Trial], row: Row) -> list[str]:
    cells: list[str] = []
    for trial, scores in zip(trials, row.scores, strict=True):
        # The error of the distance tells how much the others may be off.
        cells += ["-"] * len(trial.columns) if scores is None else [_short(scores[0])]
        cells += [] if scores is None else [_short(Score(score.value)) for score in scores[1:]]
    return cells + [_range([cost[kind] for cost in row.costs if cost]) for kind in range(len(COSTS))]


def _range(costs: Sequence[float]) -> str:
    lowest, highest = round(min(costs)), round(max(costs))
    return f"{highest}" if lowest == highest else f"{lowest} to {highest}"


def _short(score: Score) -> str:
    digits = 0 if abs(score.value) >= 100 else 1 if abs(score.value) >= 10 else 2
    shown = f"{score.value:.{digits}f}"
    return shown if math.isnan(score.error) else f"{shown} ± {score.error:.{digits}f}"


def _distance(scores: tuple[Score, ...] | None) -> float:
    return math.inf if scores is None or math.isnan(scores[0].value) else scores[0].value
