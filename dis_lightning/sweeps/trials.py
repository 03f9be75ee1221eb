"""The trials of a sweep: each a process of its own that writes a run folder of its own."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dis_lightning.errors import UserError
from dis_lightning.runs.finished import read_runs
from dis_lightning.sweeps.definition import Sweep

__all__ = ["Trial", "plan", "run_trials"]


@dataclass(frozen=True)
class Trial:
    """One choice of values, and where its run is.

    Attributes:
        values: the values by dotted key.
        folder: the run folder.
    """

    values: dict[str, Any]
    folder: Path

    @property
    def log(self) -> Path:
        """What its process has written."""
        return self.folder.with_suffix(".log")

    def entry(self, metric: str) -> dict[str, Any] | None:
        """The metric's entry in `metrics.json`; None where the run is not finished, or has no such value.

        Args:
            metric: its flattened name, `section/name`.
        """
        try:
            sections = read_runs([self.folder])[0].sections
        except UserError:
            return None
        section, _, name = metric.partition("/")
        entry: dict[str, Any] | None = sections.get(section, {}).get(name)
        return None if entry is None or entry["mean"] is None else entry

    def diverged(self) -> int | None:
        """How many samples of its run diverged; None where the run is not finished."""
        try:
            return int(read_runs([self.folder])[0].summary["diverged"]["count"])
        except UserError:
            return None

    def command(self, sweep: Sweep) -> list[str]:
        """The words of its command.

        Args:
            sweep: the sweep that it belongs to.
        """
        arguments = [
            f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in self.values.items()
        ]
        words: list[str] = []
        for word in sweep.command:
            known = {
                "${args}": arguments,
                "${env}": ["/usr/bin/env"],
                "${interpreter}": [sys.executable],
                "dis-lightning": [sys.executable, "-m", "dis_lightning"],  # this one, not another on the path
            }
            words += known.get(word, [word])
        return [*words, f"--writer.folder={self.folder}"]


def plan(sweep: Sweep, output: Path, seed: int) -> list[Trial]:
    """The trials, below `output/NAME-FINGERPRINT`, each in a folder called by its values.

    Args:
        sweep: the sweep.
        output: the folder of sweeps.
        seed: of the draws of `random`.
    """
    folder = output / f"{sweep.name}-{sweep.fingerprint}"
    trials: dict[str, Trial] = {}
    for values in sweep.values(seed):
        name = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
        trials.setdefault(name, Trial(values, folder / name))
    return list(trials.values())


def run_trials(sweep: Sweep, trials: Sequence[Trial], jobs: int, say: Callable[[str], None]) -> None:
    """Run the trials that are not finished; one that fails is told and does not end the sweep.

    Args:
        sweep: the sweep.
        trials: its trials.
        jobs: how many processes run at once.
        say: gets a line for each trial.
    """

    def one(trial: Trial) -> None:
        if trial.diverged() is not None:
            say(f"{trial.folder.name} was finished before")
            return
        trial.folder.parent.mkdir(parents=True, exist_ok=True)
        with trial.log.open("wb") as log:
            status = subprocess.run(
                trial.command(sweep), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ, check=False
            ).returncode
        lost = trial.diverged()
        ending = f"failed with status {status}: {trial.log}" if status or lost is None else "finished"
        say(f"{trial.folder.name} {ending}" + (f", {lost} samples diverged" if lost else ""))

    pool = ThreadPoolExecutor(jobs)
    try:
        list(pool.map(one, trials))
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupted sweep begins no other trial
