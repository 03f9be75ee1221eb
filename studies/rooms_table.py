"""What the tables of solvers on rooms have in common: their commands, their text and their pages."""

import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path

import torch
import yaml
from jsonargparse import auto_cli
from rich.console import Console
from rich.markdown import Markdown

from dis_lightning.main import main
from studies.rooms_rows import Study
from studies.rooms_tuning import Score, described, tune

__all__ = ["commands", "markdown_table", "number", "pages", "step_sizes"]


def commands(file: Path, score: Score, text: Callable[[Study], str], arguments: list[str] | None = None) -> None:
    """Run a study's command: `tune`, `table`, `pages`, or `settings` of a row.

    Args:
        file: of the study; the table's text is written beside it.
        score: what its step sizes are tuned to.
        text: makes the table's text.
        arguments: of the command, by default those of the process.
    """

    def tune_() -> None:
        """Choose the step sizes anew, on rooms that are not in the table, and write them down."""
        for problem, solver, choice in tune(file, score):
            tried = ", ".join(f"{factor:g}: {value:.4g}" for factor, value in sorted(choice.scores.items()))
            print(f"{problem} | {solver} | {choice.factor:g} of {tried}", flush=True)

    def table() -> None:
        """Run all rows, print the table and write it down."""
        study = Study.read(file)
        result = f"{text(study)}\n{described(study)}\n"
        file.with_suffix(".md").write_text(result)
        Console().print(Markdown(result))

    def settings(problem: str, solver: str) -> None:
        """Print a row as a configuration that `dis-lightning predict --config` takes.

        Args:
            problem: its name in the table.
            solver: its name in the table.
        """
        try:
            row = Study.read(file).configuration(problem, solver)
        except ValueError as error:
            sys.exit(str(error))
        yaml.safe_dump(row, sys.stdout, sort_keys=False)

    def pages_(folder: Path = Path("outputs", file.stem)) -> None:
        """Make every row a run, and a page for each problem; what a folder holds already is not run again.

        Args:
            folder: of the runs and the pages.
        """
        pages(Study.read(file), folder)

    torch.set_num_threads(1)  # as the command line does
    auto_cli(
        {"tune": tune_, "table": table, "pages": pages_, "settings": settings}, args=arguments, as_positional=False
    )


def pages(study: Study, folder: Path) -> None:
    """Run every row by the command line, and compare the solvers on a page for each problem.

    Args:
        study: the rows.
        folder: where `PROBLEM.html` and the run folders `PROBLEM/SOLVER` come to be.
    """
    for problem in study.problems:
        runs = [folder / problem / solver for solver in study.solvers]
        for run in runs:
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as row:
                yaml.safe_dump(study.configuration(problem, run.name), row, sort_keys=False)
                row.flush()
                main(["predict", f"--config={row.name}", f"--writer.folder={run}", "--trainer.accelerator=cpu"])
        main(["report", *map(str, runs), f"--output={folder / problem}.html"])


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as Markdown, its columns to the right but for the first."""
    ruler = ["---", *("---:" for _ in headings[1:])]
    return "".join(f"| {' | '.join(row)} |\n" for row in (headings, ruler, *rows))


def number(values: torch.Tensor, digits: int = 2) -> str:
    """The mean of values with its standard error; NaN are left out."""
    known = values[~values.isnan()]
    if not len(known):
        return "-"
    error = f" ± {known.std() / len(known) ** 0.5:.{digits}f}" if len(known) > 1 else ""
    return f"{known.mean():.{digits}f}{error}"


def step_sizes(study: Study, problem: str, solver: str) -> str:
    """The tuned arguments of a row, by name."""
    arguments = study.configuration(problem, solver)["model"]["init_args"]
    values = {
        name.rpartition(".")[2]: reduce(lambda node, key: node[key], name.split("."), arguments)
        for name in study.tuned(solver)
    }
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "-"
