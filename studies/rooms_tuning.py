"""Step sizes on rooms, with the same budget for every solver: the same rooms, and the same factors tried.

A coarse pass tries 1/8, 1 and 8 times where the study starts, a fine one then 1/4, 1/2, 2 and 4 times the best of
these. The rooms are of a split of their own: none was trained on, none is in the table.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import yaml

from dis_lightning.errors import InvalidValueError
from studies.rooms_rows import Choice, Configuration, Study, found, tuned_file

__all__ = ["COARSE", "FINE", "choose", "described", "score", "tune"]

COARSE = (1 / 8, 1.0, 8.0)
FINE = (1 / 4, 1 / 2, 2.0, 4.0)

HEAD = "# Written by the command `tune`: the factor of each row's step sizes, and the score of every factor tried.\n"


def choose(score: Callable[[float], float]) -> Choice:
    """Find the best factor.

    Args:
        score: of a factor, the higher the better; one that is NaN is never the best.

    Raises:
        ValueError: if no factor has a score.
    """
    scores: dict[float, float] = {}
    for factors in (COARSE, FINE):
        start = _best(scores) if scores else 1.0
        scores |= {start * factor: score(start * factor) for factor in factors}
    return Choice(_best(scores), scores)


def score(study: Study, folder: Path, problem: str, solver: str, factor: float) -> float:
    """How good a factor is, on the rooms for tuning: the higher the better; NaN where a sample diverged.

    Args:
        study: what the row belongs to.
        folder: where the run folder `FACTOR` comes to be.
        problem: name of the problem.
        solver: name of the solver.
        factor: of the solver's step sizes.
    """
    run = study.run(folder / f"{factor:g}", problem, solver, factor)
    if run.summary["diverged"]["count"]:
        return math.nan
    mean = float(found(run, study.tuning["metric"])["mean"])
    return mean if study.tuning["better"] == "higher" else -mean


def tune(file: Path, folder: Path) -> Iterator[tuple[str, str, Choice]]:
    """Choose the step sizes of a study and write them beside it, row by row.

    Args:
        file: of the study.
        folder: where the run folders `PROBLEM/SOLVER/FACTOR` come to be; what they hold already is not run again.

    Yields:
        Each problem and solver with what was chosen.
    """
    study = Study.read(file)
    choices: dict[str, dict[str, Configuration]] = {problem: {} for problem in study.problems}
    for problem, row in choices.items():
        for solver in filter(study.tuned, study.solvers):
            runs = folder / problem / solver
            choice = choose(partial(score, study, runs, problem, solver))
            row[solver] = {"factor": choice.factor, "scores": {f: round(v, 4) for f, v in choice.scores.items()}}
            record = {key: study.tuning["data"][key] for key in ("split", "num_images")} | {"choices": choices}
            tuned_file(file).write_text(HEAD + yaml.safe_dump(record, sort_keys=False))
            yield problem, solver, choice


def described(study: Study) -> str:
    """How the step sizes came about, in a sentence for a table."""
    rooms = study.tuning["data"]
    tried = len(COARSE) + len(FINE)
    if not study.choices:
        return "Step sizes are not tuned."
    return (
        f"Step sizes are the best of {tried} for each solver and problem on {rooms['num_images']} other rooms "
        f'(split "{rooms["split"]}"). {study.note}'
    ).rstrip()


def _best(scores: dict[float, float]) -> float:
    known = {factor: score for factor, score in scores.items() if not math.isnan(score)}
    if not known:
        raise InvalidValueError(
            f"None of the factors {list(scores)} gives samples; start the study from another step size."
        )
    return max(known, key=known.__getitem__)
