"""The tables of a report: a row per run, a column per metric, the best of every column marked.

A column shows all its means with as many decimals as give its largest standard error two digits, and more where a mean
that is known better would lose its own. The best is the largest or smallest mean, as the metric has it; runs that are
equal are all marked, but not where every run is. Means over different images, or of metrics that the runs define
differently, are not compared.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from dis_lightning.report.columns import describe
from dis_lightning.runs.finished import Run, defined_differently, of_same_images, same_images
from dis_lightning.runs.table import clamped
from dis_lightning.values import SECTIONS, Direction, Value

__all__ = ["Cell", "Column", "Row", "Table", "best", "make_tables"]


class Column(NamedTuple):
    """A metric as a column."""

    name: str
    """Its name in `metrics.json`."""
    shown: Value
    """Its title, better direction and unit."""

    @property
    def title(self) -> str:
        """Its title with its unit in brackets."""
        return f"{self.shown.title} ({self.shown.unit})" if self.shown.unit else self.shown.title

    @property
    def better(self) -> Direction:
        """Which direction is better."""
        return self.shown.better


class Cell(NamedTuple):
    """A mean of a run, in words."""

    mean: float | None
    """The number itself, for sorting; None where there is none."""
    value: str
    """The mean as shown, a dash where there is none."""
    error: str
    """The standard error as shown; empty where there is none."""
    best: bool
    """Whether no run is better and some are worse."""
    reported: str
    """What a paper reports for this run; empty where the configuration names nothing."""
    infinite: int
    """Number of images whose value was infinite, which are not in the mean."""
    level: str
    """What the mean should be, where neither direction is better; empty where nobody knows."""


class Row(NamedTuple):
    """A run."""

    label: str
    """What it is called."""
    detail: str
    """What it is: solver, images, samples, and how many samples diverged."""
    cells: list[Cell]
    """One per column."""


class Table(NamedTuple):
    """A section of the runs' summaries."""

    title: str
    """Its heading."""
    columns: list[Column]
    """Its metrics."""
    rows: list[Row]
    """One per run that has any of the metrics."""
    notes: list[str]
    """What a reader must know: which columns have no best, because the runs define them differently, or because they
    are means over different images; which values are missing, and why; what a value of few images is worth; and, in the
    first table, where samples diverged or were clamped."""


def make_tables(runs: Sequence[Run]) -> list[Table]:
    """Make a table of every section that a run has.

    A metric that is only reported by a paper has a column too, in the first table.

    Args:
        runs: the runs to compare.
    """
    names: dict[str, dict[str, None]] = {section: {} for section in SECTIONS}
    for run in runs:
        for section, part in run.sections.items():
            names.setdefault(section, {}).update(dict.fromkeys(part))
    measured = {name for columns in names.values() for name in columns}
    reported = [name for run in runs for values in run.reported.values() for name in values]
    names["metrics"].update(dict.fromkeys(name for name in reported if name not in measured))
    tables = [_table(section, list(columns), runs) for section, columns in names.items() if columns]
    for first in tables[:1]:
        said = [(run, text) for run in runs for text in (_lost(run), clamped(run.summary)) if text]
        first.notes.extend(f"{run.label}: {text}" for run, text in said)
    return tables


def best(values: Sequence[float | None], direction: Direction) -> list[bool]:
    """Which values no other is better than; none where all are equal or no direction is better.

    Args:
        values: numbers, None or NaN where there is none.
        direction: which are better.
    """
    given = [direction.sign * value for value in values if value is not None and not math.isnan(value)]
    if direction is Direction.NEITHER or len(set(given)) < 2:
        return [False] * len(values)
    return [value is not None and direction.sign * value == max(given) for value in values]


def _table(section: str, names: Sequence[str], runs: Sequence[Run]) -> Table:
    columns = [Column(name, describe(name, runs)) for name in names]
    cells = [_cells(section, column, runs) for column in columns]
    rows = [
        Row(run.label, _detail(run), list(row))
        for run, row in zip(runs, zip(*cells, strict=True), strict=True)
        if section in run.sections or any(cell.reported for cell in row)
    ]
    return Table(SECTIONS.get(section, section.capitalize()), columns, rows, _notes(section, columns, runs))


def _cells(section: str, column: Column, runs: Sequence[Run]) -> list[Cell]:
    entries = [run.sections.get(section, {}).get(column.name, {}) for run in runs]
    means = [entry.get("mean") for entry in entries]
    errors = [entry.get("standard_error") for entry in entries]
    decimals = _decimals([mean for mean in means if mean is not None], [error for error in errors if error])
    compared = (
        same_images(runs) and not defined_differently(runs, column.name) and of_same_images(runs, section, column.name)
    )
    texts = [_texts(mean, error, decimals) for mean, error in zip(means, errors, strict=True)]
    marks = best(means if compared else [None] * len(means), column.better)
    return [
        Cell(
            mean=mean,
            value=value,
            error=spread,
            best=marked,
            reported=", ".join(f"{part[column.name]:g}" for part in run.reported.values() if column.name in part),
            infinite=entry.get("infinite", 0),
            level=_level(run, column) if mean is not None else "",
        )
        for run, entry, mean, (value, spread), marked in zip(runs, entries, means, texts, marks, strict=True)
    ]


def _notes(section: str, columns: Sequence[Column], runs: Sequence[Run]) -> list[str]:
    differing = {column: defined_differently(runs, column.name) for column in columns}
    notes = [
        f"{column.title}: no best is marked, for the runs' definitions differ in {', '.join(keys)}."
        for column, keys in differing.items()
        if keys and column.better is not Direction.NEITHER
    ]
    if same_images(runs):
        notes += [
            f"{column.title}: no best is marked, for the means are over different images: without those of which too "
            "many samples diverged, or whose value is infinite."
            for column, keys in differing.items()
            if not keys and column.better is not Direction.NEITHER and not of_same_images(runs, section, column.name)
        ]
    having = [run for run in runs if section in run.sections]
    missing: dict[tuple[str, str], list[str]] = {}
    for run in having:
        for column in columns:
            if why := _missing(run.sections[section].get(column.name, {})):
                missing.setdefault((f" of {run.label}" if len(runs) > 1 else "", why), []).append(column.shown.title)
    notes += [f"No {', '.join(titles)}{whose}: {why}." for (whose, why), titles in missing.items()]
    cautions = [_definition(run, column.name).get("caution") for column in columns for run in having]
    return [*notes, *dict.fromkeys(filter(None, cautions))]


def _missing(entry: dict[str, Any]) -> str:
    """Why a value that was asked for is not there; empty where it is, or where the cell says it."""
    if not entry or entry["mean"] is not None or entry.get("infinite"):
        return ""
    return str(entry.get("missing") or "no image has one")


def _level(run: Run, column: Column) -> str:
    level = _definition(run, column.name).get("level")
    return f"{level:.4g}" if level is not None and column.better is Direction.NEITHER else ""


def _definition(run: Run, name: str) -> dict[str, Any]:
    found: dict[str, Any] = run.summary["definitions"].get(name, {})
    return found


def _decimals(means: Sequence[float], errors: Sequence[float]) -> int | None:
    """How many decimals a column has; None where no error says it."""
    if not errors:
        return None
    # Two digits of the largest error, but no more than four of the largest mean.
    decimals, largest = 1 - _magnitude(max(errors)), max(map(abs, means))
    return min(decimals, 3 - _magnitude(largest)) if largest else decimals


def _texts(mean: float | None, error: float | None, decimals: int | None) -> tuple[str, str]:
    """A mean and its error as shown: a dash and nothing where there is none, or the error is 0 as far as is shown."""
    if mean is None:
        return "-", ""
    if decimals is None:
        return f"{mean:.4g}", ""
    if abs(mean) > (error or 0):  # two digits of what is no nought
        decimals = max(decimals, 1 - _magnitude(mean))
    value, spread = (f"{number:.{max(0, decimals)}f}" for number in (mean, error or 0))
    return value, spread if float(spread) else ""


def _magnitude(number: float) -> int:
    """The place of the first digit: 0 for units, 1 for tens, -1 for tenths."""
    return math.floor(math.log10(abs(number)))


def _detail(run: Run) -> str:
    count = run.summary["diverged"]["count"]
    size = [_count(run.summary["images"], "image"), f"{_count(run.samples, 'sample')} each"]
    return ", ".join(filter(None, [run.solver, *size, f"{count} diverged" if count else ""]))


def _lost(run: Run) -> str:
    """What is to be said of samples that diverged; empty where none has."""
    lost, number = run.summary["diverged"]["count"], run.summary["images"] * run.samples
    return f"of {number} samples {lost} diverged, and {'is' if lost == 1 else 'are'} in no value." if lost else ""


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
