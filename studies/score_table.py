"""Solvers and their scores on several trials, and who is nearest, as tables for terminals and for Markdown."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.box import SIMPLE
from rich.table import Table

from studies.trials import Score, Trial

__all__ = ["Row", "Sheet", "nearest", "sheets"]


class Row(NamedTuple):
    """A solver's line."""

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


class Sheet(NamedTuple):
    """A table of words."""

    title: str
    headings: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]

    def as_table(self) -> Table:
        """For a terminal, words of a heading below each other."""
        table = Table(title=self.title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
        for place, heading in enumerate(self.headings):
            table.add_column("\n".join(heading.split()), justify="right" if place else "left", no_wrap=True)
        for line in self.lines:
            table.add_row(*line)
        return table

    def as_markdown(self) -> str:
        """As a table in Markdown below its title."""
        ruler = ("---", *("---:",) * (len(self.headings) - 1))
        lines = (f"| {' | '.join(line)} |" for line in (self.headings, ruler, *self.lines))
        return "\n".join([f"**{self.title}**", "", *lines])


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


def sheets(trials: Sequence[Trial], rows: Sequence[Row]) -> tuple[Sheet, ...]:
    """Distances of all rows with what they cost, who is nearest, and the other scores where there are any.

    Args:
        trials: the problems.
        rows: the first is that of exact samples.
    """
    distances = [
        (row.name, *(_short(scores[0]) if scores else "-" for scores in row.scores), *_costs(row)) for row in rows
    ]
    near = [
        (
            best.problem,
            best.name,
            _short(best.distance),
            _short(best.floor),
            f"{best.ratio:.2f}",
            *map(_cost, best.cost),
        )
        for best in nearest(trials, rows)
    ]
    headings = [f"{trial.problem.name}: {column}" for trial in trials for column in trial.columns[1:]]
    # Of other scores the errors are left out: that of the distance tells how much they may be off.
    others = [(row.name, *_others(trials, row)) for row in rows]
    found = (
        Sheet(
            "Distances to the posterior", ("solver", *(trial.problem.name for trial in trials), *COSTS), (*distances,)
        ),
        Sheet("The nearest", ("problem", "nearest sampler", "distance", "floor", "ratio", *COSTS), (*near,)),
    )
    return (*found, Sheet("Other scores", ("solver", *headings), (*others,))) if headings else found


COSTS = ("evaluations", "gradients")


def _others(trials: Sequence[Trial], row: Row) -> Iterable[str]:
    for trial, scores in zip(trials, row.scores, strict=True):
        yield from (_short(Score(score.value)) for score in scores[1:]) if scores else "-" * len(trial.columns[1:])


def _costs(row: Row) -> list[str]:
    """Evaluations and gradients, as a range where they differ between trials."""
    kinds = [[_cost(cost[kind]) for cost in row.costs if cost] for kind in range(len(COSTS))]
    ends = [(min(costs, key=float), max(costs, key=float)) for costs in kinds]
    return [lowest if lowest == highest else f"{lowest} to {highest}" for lowest, highest in ends]


def _cost(cost: float) -> str:
    return f"{cost:.0f}"


def _short(score: Score) -> str:
    digits = 0 if abs(score.value) >= 100 else 1 if abs(score.value) >= 10 else 2
    # A hundredth is coarse for distances near the floor.
    digits = 3 if digits == 2 and abs(score.value) < 1 and not math.isnan(score.error) else digits
    shown = f"{score.value:.{digits}f}"
    return shown if math.isnan(score.error) else f"{shown} ± {score.error:.{digits}f}"


def _distance(scores: tuple[Score, ...] | None) -> float:
    return math.inf if scores is None or math.isnan(scores[0].value) else scores[0].value
