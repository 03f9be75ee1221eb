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
from studies.rooms_rows import Choice, Configuration, Study, tuned_file

__all__ = ["COARSE", "FINE", "Score", "choose", "described", "tune"]

COARSE = (1 / 8, 1.0, 8.0)
FINE = (1 / 4, 1 / 2, 2.0, 4.0)

Score = Callable[[Configuration], float]
"""How good a row is: the higher the better; NaN where a sample diverged."""


def choose(score: Callable[[float], float]) -> Choice:
    """Find the best factor.

    Args:
        score: of a factor; one that is NaN is never the best.

    Raises:
        ValueError: if no factor has a score.
    """
    scores: dict[float, float] = {}
    for factors in (COARSE, FINE):
        start = _best(scores) if scores else 1.0
        scores |= {start * factor: score(start * factor) for factor in factors}
    return Choice(_best(scores), scores)


def tune(file: Path, score: Score) -> Iterator[tuple[str, str, Choice]]:
    """Choose the step sizes of a study and write them beside it, row by row.

    Args:
        file: of the study.
        score: how good a row is.

    Yields:
        Each problem and solver with what was chosen.
    """
    study = Study.read(file)
    rooms = study.tuning["init_args"]
    choices: dict[str, dict[str, Configuration]] = {problem: {} for problem in study.problems}
    for problem, row in choices.items():
        for solver in filter(study.tuned, study.solvers):
            choice = choose(partial(_score, study, score, problem, solver))
            row[solver] = {"factor": choice.factor, "scores": {f: round(v, 4) for f, v in choice.scores.items()}}
            record = {"split": rooms["split"], "num_images": rooms["num_images"], "choices": choices}
            tuned_file(file).write_text(HEAD + yaml.safe_dump(record, sort_keys=False))
            yield problem, solver, choice


def described(study: Study) -> str:
    """How the step sizes came about, in a sentence for a table."""
    rooms = study.tuning["init_args"]
    tried = len(COARSE) + len(FINE)
    if not study.choices:
        return "Step sizes are not tuned."
    return (
        f"Step sizes are the best of {tried} for each solver and problem on {rooms['num_images']} other rooms "
        f'(split "{rooms["split"]}").'
    )


HEAD = "# Written by the command `tune`: the factor of each row's step sizes, and the score of every factor tried.\n"


def _score(study: Study, score: Score, problem: str, solver: str, factor: float) -> float:
    return score(study.configuration(problem, solver, factor))


def _best(scores: dict[float, float]) -> float:
    known = {factor: score for factor, score in scores.items() if not math.isnan(score)}
    if not known:
        raise InvalidValueError(
            f"None of the factors {list(scores)} gives samples; start the study from another step size."
        )
    return max(known, key=known.__getitem__)
