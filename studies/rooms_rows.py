"""Rows of the tables of solvers on rooms: from a study's file to posterior samples.

A row is one problem met by one solver. A study's file holds

    data       the rooms of the table
    tuning     what is different about the rooms that its step sizes are tuned on
    problems   operators by name
    solvers    `denoiser`, `consistency` and `model` by name, and `tuned`: the model's arguments that one factor scales
    metrics    callbacks by name of the problem, beyond those that every run has

all as in a configuration of the command line, so that a row is one: `dis-lightning predict` takes what
`Study.configuration` gives. Beside it, in a file of its own, stand the factors that were chosen.
"""

import copy
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

import yaml
from jsonargparse import ArgumentParser

from dis_lightning import data, levels, operators, priors, rooms, solvers, transitions  # noqa: F401 (names of classes)
from dis_lightning.data import ImageData
from dis_lightning.errors import InvalidValueError
from dis_lightning.operators import Operator
from dis_lightning.priors import Denoiser
from dis_lightning.solvers import Solver
from dis_lightning.types import Reconstruction

__all__ = ["Choice", "Configuration", "Study", "build", "reconstruct", "tuned_file"]

Configuration = dict[str, Any]
"""Arguments as they stand in a YAML file of the command line."""

PARTS = {"operator": Operator, "denoiser": Denoiser, "consistency": Denoiser}


class Choice(NamedTuple):
    """How far the step sizes of one row are from where their tuning started."""

    factor: float
    """What the study's values are multiplied by."""
    scores: dict[float, float]
    """The score of every factor that was tried; the highest is best."""


class Study(NamedTuple):
    """A table of solvers: its rooms, its problems, its solvers, and what was tuned."""

    data: Configuration
    """The rooms of the table."""
    tuning: Configuration
    """The rooms that step sizes are tuned on."""
    problems: dict[str, Configuration]
    """Operators by name."""
    solvers: dict[str, Configuration]
    """All else, by name of the solver."""
    metrics: dict[str, list[Configuration]]
    """Callbacks that score a run, by name of the problem."""
    choices: dict[str, dict[str, Choice]]
    """What was tuned, by problem and solver."""

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
        chosen = yaml.safe_load(beside.read_text())["choices"] if beside.exists() else {}
        choices = {p: {s: Choice(**choice) for s, choice in row.items()} for p, row in chosen.items()}
        tuning = {**study["data"], "init_args": study["data"]["init_args"] | study["tuning"]}
        return cls(study["data"], tuning, study["problems"], study["solvers"], study.get("metrics", {}), choices)

    def configuration(self, problem: str, solver: str, factor: float | None = None) -> Configuration:
        """A row as the command line takes it.

        Args:
            problem: name of the problem.
            solver: name of the solver.
            factor: of its step sizes, on the rooms for tuning; not given, the row is that of the table, with the factor
                that was chosen, or 1 where none was, and with the metrics.

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
        images = self.data if factor is None else self.tuning
        metrics = copy.deepcopy(self.metrics.get(problem, [])) if factor is None else []
        scored = {"trainer": {"callbacks": metrics}} if metrics else {}
        return {"data": images, "operator": self.problems[problem], **parts, **scored}

    def tuned(self, solver: str) -> list[str]:
        """Which arguments of a solver are tuned, by dotted name."""
        return list(self.solvers[solver].get("tuned", []))


def tuned_file(file: Path) -> Path:
    """Where the factors chosen for a study's file are kept."""
    return file.with_name(f"{file.stem}_tuned.yaml")


def reconstruct(configuration: Configuration) -> Iterator[tuple[Reconstruction, Solver]]:
    """Run a row in this process, batch by batch, as `dis-lightning predict` would.

    Args:
        configuration: of the whole run.

    Yields:
        Each batch's samples, and the solver that drew them.
    """
    images, solver = build(configuration)
    solver.load()
    images.setup()
    for batch in images.predict_dataloader():
        yield solver.predict_step(batch), solver


def build(configuration: Configuration) -> tuple[ImageData, Solver]:
    """Make the images and the solver of a row; networks are not read yet, and metrics are left to the command line."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(ImageData, "data")
    parser.add_subclass_arguments(Solver, "model")
    for name, kind in PARTS.items():
        parser.add_subclass_arguments(kind, name, required=name != "consistency")
        parser.link_arguments(name, f"model.init_args.{name}", apply_on="instantiate")
    run = parser.instantiate(
        parser.parse_object({key: configuration[key] for key in configuration if key != "trainer"})
    )
    return cast(ImageData, run.data), cast(Solver, run.model)


def _scale(arguments: Configuration, path: list[str], factor: float) -> None:
    """Multiply the number, or the numbers, at the end of a path; three digits are kept, for people."""
    *parents, name = path
    holder = reduce(lambda node, key: node[key], parents, arguments)
    value = holder[name]
    many = value if isinstance(value, list) else [value]
    scaled = [float(f"{number * factor:.3g}") for number in many]
    holder[name] = scaled if isinstance(value, list) else scaled[0]
