"""Rows of the tables of solvers on rooms: each is a run of `dis-lightning predict`.

A row is one problem met by one solver. A study's file holds

    data         the rooms of the table
    problems     operators by name
    solvers      `denoiser`, `consistency` and `model` by name, and `tuned`: arguments of the model that a factor scales
    metrics      callbacks by name of the problem, beyond those that every run has
    tuning       `data`: what is different about the rooms that step sizes are tuned on; `metric`, `SECTION/NAME`, with
                 `better`, higher or lower: what they are tuned to
    reference    rooms that metrics compare with: what `python -m dis_lightning.rooms export` is to write, if anything

all as in a configuration of the command line, so that a row is one: `dis-lightning predict` takes what
`Study.configuration` gives. Beside it, in a file of its own, stand the factors that were chosen.
"""

import copy
import tempfile
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple, Self

import yaml

from dis_lightning.commands import run
from dis_lightning.errors import InvalidValueError
from dis_lightning.rooms import write_folder
from dis_lightning.runs import Run, read_runs

__all__ = ["Choice", "Configuration", "Study", "found", "tuned_file"]

Configuration = dict[str, Any]
"""Arguments as they stand in a YAML file of the command line."""


class Choice(NamedTuple):
    """How far the step sizes of one row are from where their tuning started."""

    factor: float
    """What the study's values are multiplied by."""
    scores: dict[float, float]
    """The score of every factor that was tried."""


class Study(NamedTuple):
    """A table of solvers: its rooms, its problems, its solvers, and what was tuned."""

    data: Configuration
    """The rooms of the table."""
    problems: dict[str, Configuration]
    """Operators by name."""
    solvers: dict[str, Configuration]
    """All else, by name of the solver."""
    metrics: dict[str, list[Configuration]]
    """Callbacks that score a run, by name of the problem."""
    tuning: Configuration
    """The rooms that step sizes are tuned on, and what to."""
    reference: Configuration
    """Rooms that metrics compare with; empty where none do."""
    choices: dict[str, dict[str, Choice]]
    """What was tuned, by problem and solver."""
    note: str
    """What else is to be said of the tuning, in a sentence; mostly nothing."""

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read a study's file, and what was tuned, where it was.

        Args:
            file: `NAME.yaml`; the tuned factors are in `NAME_tuned.yaml`.

        Raises:
            FileNotFoundError: if there is no such file.
        """
        study = yaml.safe_load(file.read_text())
        beside = tuned_file(file)
        chosen = yaml.safe_load(beside.read_text()) if beside.exists() else {"choices": {}}
        choices = {p: {s: Choice(**choice) for s, choice in row.items()} for p, row in chosen["choices"].items()}
        parts = {name: study.get(name, {}) for name in cls._fields[:-2]}
        return cls(**parts, choices=choices, note=chosen.get("note", ""))

    def configuration(self, problem: str, solver: str, factor: float | None = None) -> Configuration:
        """A row as the command line takes it.

        Args:
            problem: name of the problem.
            solver: name of the solver.
            factor: of its step sizes, on the rooms for tuning; not given, the row is that of the table, with the factor
                that was chosen, or 1 where none was.

        Raises:
            ValueError: if the study has no such problem or solver.
        """
        if problem not in self.problems or solver not in self.solvers:
            raise InvalidValueError(
                f"This study has the problems {list(self.problems)} and the solvers {list(self.solvers)}, but got "
                f"{problem!r} and {solver!r}."
            )
        parts = copy.deepcopy(self.solvers[solver])
        chosen = self.choices.get(problem, {}).get(solver, Choice(1.0, {})).factor
        for name in parts.pop("tuned", []):
            _scale(parts["model"]["init_args"], name.split("."), chosen if factor is None else factor)
        images = self.data["init_args"] | ({} if factor is None else self.tuning["data"])
        return {
            "data": {**self.data, "init_args": images},
            "operator": self.problems[problem],
            **parts,
            "trainer": {"accelerator": "cpu", "callbacks": copy.deepcopy(self.metrics.get(problem, []))},
        }

    def tuned(self, solver: str) -> list[str]:
        """Which arguments of a solver are tuned, by dotted name."""
        return list(self.solvers[solver].get("tuned", []))

    def run(self, folder: Path, problem: str, solver: str, factor: float | None = None) -> Run:
        """Run a row into a folder, or go on where the folder stopped; arguments as for `configuration`.

        Args:
            folder: the run folder.
            problem: name of the problem.
            solver: name of the solver.
            factor: of its step sizes, on the rooms for tuning.

        Returns:
            What the folder says in the end.
        """
        self.write_reference()
        run({**self.configuration(problem, solver, factor), "writer": {"folder": str(folder)}})
        return read_runs([folder])[0]

    def write_reference(self) -> None:
        """Write the rooms that metrics compare with, whole or not at all, where they are not there yet."""
        if not self.reference or (folder := Path(self.reference["folder"])).exists():
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as draft:
            write_folder(**self.reference | {"folder": Path(draft, "rooms")})
            Path(draft, "rooms").rename(folder)


def found(run: Run, name: str) -> dict[str, Any]:
    """What a run has found for a metric: its `mean`, `standard_error` and more.

    Args:
        run: the run.
        name: the metric's name in `metrics.json`.
    """
    return next(values[name] for values in run.sections.values() if name in values)


def tuned_file(file: Path) -> Path:
    """Where the factors chosen for a study's file are kept."""
    return file.with_name(f"{file.stem}_tuned.yaml")


def _scale(arguments: Configuration, path: list[str], factor: float) -> None:
    """Multiply the number, or the numbers, at the end of a path; three digits are kept, for people."""
    *parents, name = path
    holder = reduce(lambda node, key: node[key], parents, arguments)
    value = holder[name]
    many = value if isinstance(value, list) else [value]
    scaled = [float(f"{number * factor:.3g}") for number in many]
    holder[name] = scaled if isinstance(value, list) else scaled[0]
