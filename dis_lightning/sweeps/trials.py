"""The trials of a sweep: each a process of its own that writes a run folder of its own."""

import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dis_lightning.errors import InvalidValueError, UserError
from dis_lightning.files import write_atomically
from dis_lightning.processes.parents import PARENT
from dis_lightning.runs.finished import read_runs
from dis_lightning.spelling import nearest
from dis_lightning.sweeps.definition import Hyperband, Sweep
from dis_lightning.sweeps.search import Bayes, Listed, Search, Values

__all__ = ["Ending", "Start", "Trial", "as_process", "run_trials", "sweep_folder"]

Start = Callable[[list[str], Path, Callable[[], str | None]], int | str]
"""Runs a command; see `as_process`."""

LOOK = 0.25
"""Seconds between two looks at a trial that goes on."""

PATIENCE = 60.0
"""Seconds that a trial has to end by itself when it is told to."""

INTERRUPTED = "interrupted"
"""Why a trial ends with its sweep; the next command goes on with it."""


class Ending(NamedTuple):
    """What has become of a trial."""

    words: str
    """That, for people."""
    finished: bool = False
    """Whether its run is."""
    entry: dict[str, Any] | None = None
    """The metric's entry in `metrics.json`; None where there is none, or where samples diverged: means lack them."""

    @property
    def mean(self) -> float | None:
        """The metric."""
        return None if self.entry is None else float(self.entry["mean"])

    @property
    def cells(self) -> tuple[Any, Any]:
        """The metric and its standard error, for a table; empty where there is none."""
        return ("", "") if self.entry is None else (self.entry["mean"], self.entry["standard_error"])


@dataclass(frozen=True)
class Trial:
    """One choice of values, and where its run is.

    Attributes:
        values: the values by dotted key.
        folder: the run folder.
    """

    values: Values
    folder: Path

    @classmethod
    def of(cls, values: Values, folder: Path) -> "Trial":
        """The trial of some values in the folder of a sweep, called by them."""
        name = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
        return cls(values, folder / name)

    @classmethod
    def all(cls, folder: Path) -> list["Trial"]:
        """Those that have begun in the folder of a sweep, by the time they did."""
        files = sorted(folder.glob("*.values.json"), key=lambda file: (file.stat().st_mtime_ns, file.name))
        found = [cls.of(values, folder) for file in files if (values := _read(file)) is not None]
        return [trial for trial in found if trial._values.exists()]  # a file of another name was changed

    @property
    def log(self) -> Path:
        """What its process has written."""
        return self.folder.with_suffix(".log")

    @property
    def progress(self) -> Path:
        """Its running means, a line for each batch; see `RunningMeans`."""
        return self.folder.with_suffix(".jsonl")

    @property
    def stopped(self) -> Path:
        """Says why it was ended early; not there where it was not."""
        return self.folder.with_suffix(".stopped")

    @property
    def _values(self) -> Path:
        return self.folder.with_suffix(".values.json")

    def begin(self) -> None:
        """Write its values down, once."""
        if _read(self._values) is None:
            write_atomically(self._values, json.dumps(self.values).encode())

    def ending(self, metric: str) -> Ending:
        """How it has ended.

        Args:
            metric: the flattened name of the metric, `section/name`.

        Raises:
            ValueError: if the run has no metric of that name.
        """
        try:
            run = read_runs([self.folder])[0]
        except UserError:
            return Ending(self.stopped.read_text(encoding="utf-8") if self.stopped.exists() else "failed")
        if lost := run.summary["diverged"]["count"]:
            return Ending(f"finished, {lost} samples diverged", finished=True)
        known = {f"{section}/{name}": entry for section, part in run.sections.items() for name, entry in part.items()}
        if metric not in known:
            meant = nearest(metric, known) or nearest(f"metrics/{metric}", known)
            raise InvalidValueError(f"{self.folder} has no metric {metric!r}. {meant}It has {', '.join(known)}.")
        return Ending("finished", True, None if known[metric].get("mean") is None else known[metric])

    def so_far(self, sweep: Sweep) -> list[float]:
        """The running means of the sweep's metric, one for each batch; the worst where all samples have diverged."""
        try:
            lines = self.progress.read_text(encoding="utf-8").split("\n")[:-1]  # the last may be half written
        except FileNotFoundError:
            return []
        found = [json.loads(line).get(sweep.metric) for line in lines]
        worst = -math.inf if sweep.maximize else math.inf
        return [worst if value is None else value for value in found]

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
        watched = ["--trainer.callbacks+=RunningMeans", f"--trainer.callbacks.file={self.progress}"]
        return [*words, f"--writer.folder={self.folder}", *(watched if sweep.hyperband else [])]


def sweep_folder(sweep: Sweep, output: Path, seed: int) -> Path:
    """Where a sweep's trials are, `output/NAME-FINGERPRINT`; draws of a seed but 0 have a folder of their own."""
    drawn = f"-seed{seed}" if seed and sweep.method != "grid" else ""
    return output / f"{sweep.name}-{sweep.fingerprint}{drawn}"


def run_trials(
    sweep: Sweep, folder: Path, seed: int, jobs: int, say: Callable[[str], None], start: Start | None = None
) -> list[Trial]:
    """Run the trials that are not finished; one that fails is told and does not end the sweep.

    Args:
        sweep: the sweep.
        folder: where its trials are.
        seed: of the draws.
        jobs: how many processes run at once.
        say: gets a line for each trial.
        start: how a trial is run; `as_process` if not given.

    Returns:
        All trials of the sweep, in the order in which they were chosen.

    Raises:
        ValueError: if a trial that is finished has no such metric, or the command is no program.
    """
    search, earlier = _search(sweep, folder, seed)
    chosen = {trial.folder: trial for trial in earlier}
    at_work: dict[Path, Future[Ending]] = {}
    lock, interrupted = threading.Lock(), threading.Event()

    def work() -> None:
        while True:
            with lock:
                values = None if interrupted.is_set() else search.ask()
                if values is None:
                    return
                trial = Trial.of(values, folder)
                chosen.setdefault(trial.folder, trial)
                mine = trial.folder not in at_work  # or the same values were asked for twice
                ended = at_work.setdefault(trial.folder, Future())
            if mine:
                try:
                    ended.set_result(
                        _run(sweep, trial, lambda: list(chosen.values()), start or as_process, interrupted)
                    )
                except BaseException as error:
                    interrupted.set()
                    ended.set_exception(error)
                    raise
                say(f"{trial.folder.name} {ended.result().words}")
            mean = ended.result().mean
            with lock:
                if mine:
                    at_work.pop(trial.folder)
                search.tell(values, mean)

    pool = ThreadPoolExecutor(jobs)
    try:
        for done in [pool.submit(work) for _ in range(jobs)]:
            done.result()
    finally:
        interrupted.set()  # ends the trials that run, and begins no other
        pool.shutdown()
    return list(chosen.values())


def _search(sweep: Sweep, folder: Path, seed: int) -> tuple[Search, list[Trial]]:
    """Where values come from, and the trials of earlier commands that it has learned from."""
    if sweep.method != "bayes":
        return Listed(sweep.values(seed)), []
    ended: list[tuple[Values, float | None]] = []
    begun: list[Values] = []
    earlier = Trial.all(folder)
    for trial in earlier:
        ending = trial.ending(sweep.metric)
        if ending.finished or trial.stopped.exists():
            ended.append((trial.values, ending.mean))
        else:
            begun.append(trial.values)
    return Bayes(sweep, seed, ended, begun), earlier


def as_process(words: list[str], log: Path, stop: Callable[[], str | None]) -> int | str:
    """Run a command as a process of its own.

    Args:
        words: the command.
        log: what it writes goes there.
        stop: asked again and again whether it is to be ended early, and why.

    Returns:
        Its exit status, or why it was ended.
    """
    # A file that logs to W&B needs no account here, unless its user says otherwise.
    environment = {"WANDB_MODE": "disabled", **os.environ, PARENT: str(os.getpid())}
    with log.open("wb") as told:
        # In a session of its own: what a terminal sends is for the sweep, which ends its trials.
        try:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=told, stderr=told, env=environment, start_new_session=True
            )
        except OSError as error:
            raise InvalidValueError(
                f"The sweep's command cannot be run, {words[0]}: {error.strerror}; begin it with dis-lightning."
            ) from error
        while True:
            try:
                return process.wait(LOOK)
            except subprocess.TimeoutExpired:
                if reason := stop():
                    process.send_signal(signal.SIGTERM)
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(PATIENCE)
                    process.kill()
                    process.wait()
                    return reason


def _read(file: Path) -> Values | None:
    """What a file of values holds; None where there is none, or it is damaged."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, json.JSONDecodeError):
        return None
    return values if isinstance(values, dict) else None


def _run(
    sweep: Sweep, trial: Trial, others: Callable[[], list[Trial]], start: Start, interrupted: threading.Event
) -> Ending:
    """Run a trial to its end, or until it is worse than others; give what has become of it."""
    before = trial.ending(sweep.metric)
    if before.finished:
        return before._replace(words=f"was finished before{before.words.removeprefix('finished')}")
    if trial.stopped.exists():
        return before._replace(words=f"was {before.words}, before")
    trial.begin()
    passed = 0

    def stop() -> str | None:
        nonlocal passed
        if interrupted.is_set():
            return INTERRUPTED
        if sweep.hyperband is None:
            return None
        own = trial.so_far(sweep)
        reason = _worse(sweep, sweep.hyperband, own, others(), passed)
        passed = len(own)
        return reason

    ended = start(trial.command(sweep), trial.log, stop)
    if ended == INTERRUPTED:
        return Ending(INTERRUPTED)
    if isinstance(ended, str):
        write_atomically(trial.stopped, ended.encode())
        return Ending(ended)
    ending = trial.ending(sweep.metric)
    return ending if ending.finished else Ending(f"failed with status {ended}: {trial.log}")


def _worse(sweep: Sweep, hyperband: Hyperband, own: list[float], others: list[Trial], passed: int) -> str | None:
    """Why a trial is to be stopped, at the last band that it has come to since it had `passed` batches."""
    bands = [band for band in hyperband.bands if passed < band <= len(own)]
    if not bands:
        return None
    band = bands[-1]
    come = [values for other in others if len(values := other.so_far(sweep)) >= band]
    values = [values[band - 1] for values in come]
    if hyperband.goes_on(own[band - 1], values, sweep.maximize):
        return None
    has = f"is {own[band - 1]:.4g}" if math.isfinite(own[band - 1]) else "has no value"
    return f"stopped after {len(own)} batches: {sweep.metric} {has}, no longer among the best"
