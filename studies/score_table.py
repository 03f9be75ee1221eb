"""One table of solvers and their scores on several trials, for terminals and for Markdown."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.box import SIMPLE
from rich.table import Table

from studies.trials import Trial

__all__ = ["Row", "as_markdown", "as_table"]


class Row(NamedTuple):
    """A line of the table."""

    name: str
    """The contestant."""
    scores: tuple[tuple[float, ...] | None, ...]
    """Its scores on each trial; None where it cannot be tried."""


def as_table(trials: Sequence[Trial], rows: Sequence[Row]) -> Table:
    """The rows for a terminal."""
    table = Table("", title="Every solver on exact posteriors", title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    for trial in trials:
        for place, column in enumerate(trial.columns):
            # The name of a problem stands above its first column alone.
            first, _, second = trial.problem.name.partition(", ")
            heading = f"{first}\n{second}" if place == 0 else "\n"
            table.add_column(f"{heading}\n{column}", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.name, *_cells(trials, row))
    return table


def as_markdown(trials: Sequence[Trial], rows: Sequence[Row]) -> str:
    """The rows as a table in Markdown."""
    headings = [f"{trial.problem.name}: {column}" for trial in trials for column in trial.columns]
    lines = [["solver", *headings], ["---", *["---:"] * len(headings)]]
    lines += [[row.name, *_cells(trials, row)] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(trials: Sequence[Trial], row: Row) -> list[str]:
    cells: list[str] = []
    for trial, scores in zip(trials, row.scores, strict=True):
        cells += ["-"] * len(trial.columns) if scores is None else [_short(score) for score in scores]
    return cells


def _short(score: float) -> str:
    return f"{score:.2f}" if abs(score) < 100 else f"{score:.0f}"
