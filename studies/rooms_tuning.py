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
from dis_lightning.main import main
from dis_lightning.sweeps import Sweep, run_trials
from studies.rooms_rows import Choice, Configuration, Study, tuned_file

__all__ = ["COARSE", "FINE", "choose", "described", "scores", "tune"]

COARSE = (1 / 8, 1.0, 8.0)
FINE = (1 / 4, 1 / 2, 2.0, 4.0)

HEAD = "# Written by the command `tune`: the factor of each row's step sizes, and the score of every factor tried.\n"


def choose(score: Callable[[list[float]], dict[float, float]]) -> Choice:
    """Find the best factor.

    Args:
        score: of factors, the higher the better; one that is NaN is never the best.

    Raises:
        ValueError: if no factor has a score.
    """
    known: dict[float, float] = {}
    for factors in (COARSE, FINE):
        start = _best(known) if known else 1.0
        known |= score([start * factor for factor in factors])
    return Choice(_best(known), known)


def scores(study: Study, folder: Path, problem: str, solver: str, factors: list[float]) -> dict[float, float]:
    """How good factors are, on the rooms for tuning: the higher the better; NaN where a sample diverged.

    Args:
        study: what the row belongs to.
        folder: of the sweep, with a configuration and a run folder for each factor.
        problem: name of the problem.
        solver: name of the solver.
        factors: of the solver's step sizes: the trials of a sweep.
    """
    study.write_reference()
    folder.mkdir(parents=True, exist_ok=True)
    files = {str(folder / f"{factor:g}.yaml"): factor for factor in factors}
    for file, factor in files.items():
        Path(file).write_text(yaml.safe_dump(study.configuration(problem, solver, factor), sort_keys=False))
    maximize = study.tuning["better"] == "higher"
    grid = {"config": {"values": list(files)}}
    sweep = Sweep(solver, "grid", study.tuning["metric"], maximize, grid, ["dis-lightning", "predict", "${args}"], None)
    worth: dict[float, float] = {}
    for trial in run_trials(sweep, folder, seed=0, jobs=1, say=lambda _: None, start=_here):
        mean = trial.ending(sweep.metric).mean
        worth[files[trial.values["config"]]] = math.nan if mean is None else mean if maximize else -mean
    return worth


def tune(file: Path, folder: Path) -> Iterator[tuple[str, str, Choice]]:
    """Choose the step sizes of a study and write them beside it, row by row.

    Args:
        file: of the study.
        folder: where the sweeps `PROBLEM/SOLVER` come to be; what they hold already is not run again.

    Yields:
        Each problem and solver with what was chosen.
    """
    study = Study.read(file)
    choices: dict[str, dict[str, Configuration]] = {problem: {} for problem in study.problems}
    for problem, row in choices.items():
        for solver in filter(study.tuned, study.solvers):
            choice = choose(partial(scores, study, folder / problem / solver, problem, solver))
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


def _here(words: list[str], log: Path, stop: Callable[[], str | None]) -> int:
    """Run a trial in this process, which has read the networks already."""
    main(words[words.index("predict") :])
    return 0


def _best(tried: dict[float, float]) -> float:
    known = {factor: score for factor, score in tried.items() if not math.isnan(score)}
    if not known:
        raise InvalidValueError(
            f"None of the factors {list(tried)} gives samples; start the study from another step size."
        )
    return max(known, key=known.__getitem__)
