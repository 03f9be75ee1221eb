"""What the tables of solvers on rooms have in common: their commands and their text."""

import sys
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jsonargparse import auto_cli
from rich.console import Console
from rich.markdown import Markdown

from dis_lightning.errors import UserError
from dis_lightning.report import report
from dis_lightning.runs import Run
from studies.rooms_rows import Study, found
from studies.rooms_tuning import described, tune

__all__ = ["Column", "Runs", "commands", "markdown_table", "number", "rows", "step_sizes", "table_of"]

Runs = dict[str, dict[str, Run]]
"""Finished runs by problem and solver."""


class Column(NamedTuple):
    """A metric in a table."""

    metric: str
    """Its name in `metrics.json`."""
    digits: str = ".2f"
    """How its numbers are written."""
    error: bool = True
    """Whether its standard error is given."""


def commands(file: Path, text: Callable[[Study, Runs], str], arguments: list[str] | None = None) -> None:
    """Run a study's command: `table`, `tune`, or `settings` of a row.

    Args:
        file: of the study; the table's text is written beside it.
        text: makes the table's text of the finished runs.
        arguments: of the command, by default those of the process.
    """
    outputs = Path("outputs", file.stem)

    def table(folder: Path = outputs) -> None:
        """Run all rows, print the table and write it down; what is finished is not run again.

        Args:
            folder: where `PROBLEM.html`, a page for each problem, and the run folders `PROBLEM/SOLVER` come to be.
        """
        study = Study.read(file)
        result = f"{text(study, rows(study, folder))}\n{described(study)}\n"
        file.with_suffix(".md").write_text(result)
        Console().print(Markdown(result))

    def tune_(folder: Path = outputs / "tuning") -> None:
        """Choose the step sizes anew, on rooms that are not in the table, and write them down.

        Args:
            folder: where the sweeps `PROBLEM/SOLVER` come to be.
        """
        for problem, solver, choice in tune(file, folder):
            tried = ", ".join(f"{factor:g}: {value:.4g}" for factor, value in sorted(choice.scores.items()))
            print(f"{problem} | {solver} | {choice.factor:g} of {tried}", flush=True)

    def settings(problem: str, solver: str) -> None:
        """Print a row as a configuration that `dis-lightning predict --config` takes.

        Args:
            problem: its name in the table.
            solver: its name in the table.
        """
        study = Study.read(file)
        yaml.safe_dump(study.configuration(problem, solver), sys.stdout, sort_keys=False)
        study.write_reference()

    try:
        auto_cli({"table": table, "tune": tune_, "settings": settings}, args=arguments, as_positional=False)
    except UserError as error:
        sys.exit(str(error))


def rows(study: Study, folder: Path) -> Runs:
    """Run every row, and compare the solvers on a page for each problem.

    Args:
        study: the rows.
        folder: where `PROBLEM.html` and the run folders `PROBLEM/SOLVER` come to be.
    """
    runs: Runs = {}
    for problem in study.problems:
        runs[problem] = {solver: study.run(folder / problem / solver, problem, solver) for solver in study.solvers}
        report([folder / problem / solver for solver in study.solvers], folder / f"{problem}.html")
    return runs


def table_of(study: Study, problem: str, runs: dict[str, Run], columns: dict[str, Column]) -> str:
    """The table of a problem, as Markdown: its name, and a row per solver.

    Args:
        study: the rows.
        problem: name of the problem.
        runs: the finished rows, by solver.
        columns: what stands in the table beside solvers and step sizes, by heading.
    """
    lines = []
    for solver, run in runs.items():
        diverged = run.summary["diverged"]["count"]
        name = f"{solver} ({diverged} diverged)" if diverged else solver
        values = (_shown(run, column) for column in columns.values())
        lines.append((name, step_sizes(run, study.tuned(solver)), *values))
    return f"**{problem}**\n\n{markdown_table(('solver', 'step size', *columns), lines)}"


def _shown(run: Run, column: Column) -> str:
    """A metric of a run; "-" where the run has none, as of one sample there is no spread."""
    known = any(column.metric in values for values in run.sections.values())
    return number(found(run, column.metric), column.digits, column.error) if known else "-"


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as Markdown, its columns to the right but for the first."""
    ruler = ["---", *("---:" for _ in headings[1:])]
    return "".join(f"| {' | '.join(row)} |\n" for row in (headings, ruler, *rows))


def number(entry: dict[str, Any], digits: str = ".2f", error: bool = True) -> str:
    """A mean of `metrics.json`, with its standard error where it is asked for and there is one."""
    if entry["mean"] is None:
        return "-"
    error = error and entry["standard_error"] is not None
    return f"{entry['mean']:{digits}}" + (f" ± {entry['standard_error']:{digits}}" if error else "")


def step_sizes(run: Run, tuned: Sequence[str]) -> str:
    """What a run had for the arguments of its model that were tuned, by name."""
    arguments = run.configuration["model"]["init_args"]
    values = {
        name.rpartition(".")[2]: reduce(lambda node, key: node[key], name.split("."), arguments) for name in tuned
    }
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "-"
