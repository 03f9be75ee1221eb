"""A sweep's file in the format of W&B: `program`, `command`, `method`, `metric`, `parameters`, `run_cap` and so on."""

import hashlib
import itertools
import json
import math
import os
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from dis_lightning.arguments.choices import locate
from dis_lightning.errors import InvalidValueError, MissingFileError
from dis_lightning.files import expanded, file_sha256
from dis_lightning.spelling import nearest

__all__ = ["Hyperband", "Sweep", "choices", "interval", "read_sweep"]

METHODS = ("grid", "random", "bayes")
KEYS = {
    "": {
        *("program", "command", "method", "metric", "parameters", "early_terminate", "run_cap", "name"),
        *("description", "project", "entity"),  # of W&B's pages alone
    },
    "metric": {"name", "goal", "target"},
    "parameters": {"value", "values", "min", "max", "distribution"},
    "early_terminate": {"type", "min_iter", "max_iter", "s", "eta"},
}
"""What is known in a sweep's file, and in its parts."""
EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
"""A number that YAML takes for a text, for want of a point or a sign."""
BANDS = 20
"""More rounds of trials than anyone has."""
MOST = 10**12
"""More batches than anyone has."""


@dataclass(frozen=True)
class Hyperband:
    """When a trial is compared with the others, and how many go on.

    Attributes:
        bands: after how many batches, increasing.
        eta: one of so many goes on, > 1.
    """

    bands: tuple[int, ...]
    eta: float

    def goes_on(self, value: float, others: Sequence[float], maximize: bool) -> bool:
        """Whether a trial is among the best.

        Args:
            value: its metric at a band.
            others: those of all trials that have come so far, its own among them.
            maximize: whether more is better.
        """
        best = sorted(others, reverse=maximize)[: math.ceil(len(others) / self.eta)]
        return value in best


@dataclass(frozen=True)
class Sweep:
    """What a sweep's file says.

    Attributes:
        name: what it is called.
        method: `grid`, `random` or `bayes`.
        metric: the flattened name, such as `x/psnr`, as loggers get it.
        maximize: whether more of it is better.
        parameters: W&B's description of each parameter, by dotted key.
        command: the words of a trial's command, `${args}` among them.
        run_cap: the largest number of trials; None for all of a grid.
        hyperband: how bad trials are ended early; None where they are not.
    """

    name: str
    method: str
    metric: str
    maximize: bool
    parameters: dict[str, dict[str, Any]]
    command: list[str]
    run_cap: int | None
    hyperband: Hyperband | None = None

    @property
    def fingerprint(self) -> str:
        """Twelve digits that no other trials share: of their values and their command, with the files it names.

        How many trials there are is no part of it, nor the metric, unless values or early ends depend on it.
        """
        content: list[Any] = [self.method, self.parameters, self.command, _contents(self.command)]
        if self.method == "bayes" or self.hyperband:
            content += [self.metric, self.maximize, self.hyperband and asdict(self.hyperband)]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    def values(self, seed: int) -> Iterator[dict[str, Any]]:
        """The values of each trial by dotted key, in order; a longer sweep begins with the trials of a shorter one.

        Those of `bayes` depend on the trials before and are not known here: what comes is drawn as for `random`.

        Args:
            seed: of the draws of `random`.
        """
        trials = self._grid() if self.method == "grid" else self._random(seed)
        return itertools.islice(trials, self.run_cap)

    def _grid(self) -> Iterator[dict[str, Any]]:
        every = [choices(key, parameter) for key, parameter in self.parameters.items()]
        return (dict(zip(self.parameters, row, strict=True)) for row in itertools.product(*every))

    def _random(self, seed: int) -> Iterator[dict[str, Any]]:
        for trial in itertools.count():
            yield {
                key: _draw(key, parameter, random.Random(f"{seed}/{trial}/{key}"))
                for key, parameter in self.parameters.items()
            }


def read_sweep(file: Path) -> Sweep:
    """Read a sweep's file.

    Args:
        file: its path.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is no sweep that can be run here.
    """
    content = _content(file)
    if content.get("method") not in METHODS:
        raise InvalidValueError(f"{file}: method is {content.get('method')!r}; take one of {', '.join(METHODS)}.")
    metric, goal = _metric(file, content.get("metric"))
    parameters = _parameters(file, content.get("parameters"))
    command = content.get("command")
    if not isinstance(command, list) or "${args}" not in command:
        raise InvalidValueError(f"{file} needs command, a list of words with ${{args}} among them.")
    words = [word.replace("${program}", str(content.get("program", ""))) for word in map(str, command)]
    cap, early = _run_cap(file, content), _hyperband(file, content.get("early_terminate"))
    name = str(content.get("name") or file.stem)
    if name in (".", "..") or set(name) & set("/\\\0"):
        raise InvalidValueError(f"{file}: name is that of a folder, and cannot be {name!r}.")
    sweep = Sweep(name, content["method"], metric, goal == "maximize", parameters, words, cap, early)
    next(sweep.values(0))  # what cannot be drawn is told now
    return sweep


def _content(file: Path) -> dict[str, Any]:
    """The keys of a sweep's file, all of which are known."""
    if not file.is_file():
        raise MissingFileError(f"There is no file {file}. Give a sweep's YAML file.")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidValueError(f"{file} is no YAML file: {error}") from error
    if not isinstance(content, dict):
        raise InvalidValueError(f"{file} needs keys such as method, metric and parameters.")
    _require_known(file, "", content)
    return content


def _metric(file: Path, metric: Any) -> tuple[str, str]:
    """The name of the metric, and the goal."""
    if not isinstance(metric, dict) or not isinstance(metric.get("name"), str):
        raise InvalidValueError(f"{file} needs metric.name, a name that loggers get, such as metrics/psnr.")
    _require_known(file, "metric", metric)
    if (goal := metric.get("goal", "minimize")) not in ("minimize", "maximize"):
        raise InvalidValueError(f"{file}: metric.goal is {goal!r}; take minimize or maximize.")
    return metric["name"], goal


def _parameters(file: Path, parameters: Any) -> dict[str, dict[str, Any]]:
    """The parameters by dotted key, with numbers for texts that were meant to be some."""
    if not isinstance(parameters, dict) or not all(isinstance(one, dict) for one in parameters.values()):
        raise InvalidValueError(f"{file} needs parameters: by dotted key, each with value, values, or min and max.")
    try:
        json.dumps(parameters)
    except TypeError as error:
        raise InvalidValueError(f"{file}: parameters take numbers, texts and lists of them ({error}).") from error
    for key, parameter in parameters.items():
        if not isinstance(key, str):
            raise InvalidValueError(
                f"{file}: parameters are named by dotted keys, such as model.scale, but got {key!r}."
            )
        _require_known(file, "parameters", parameter)
        if inner := next((other for other in parameters if str(other).startswith(f"{key}.")), None):
            raise InvalidValueError(
                f"{file}: parameters has {key} and {inner}, which is a part of it; give one of them."
            )
    return {key: {name: _number(value) for name, value in parameter.items()} for key, parameter in parameters.items()}


def _run_cap(file: Path, content: dict[str, Any]) -> int | None:
    """The number of trials; None for all of a grid."""
    cap = content.get("run_cap")
    if cap is None and content["method"] != "grid":
        raise InvalidValueError(f"{file} needs run_cap, the number of trials: {content['method']} has no end.")
    if cap is not None and (isinstance(cap, bool) or not isinstance(cap, int) or cap < 1):
        raise InvalidValueError(f"{file}: run_cap is {cap!r}; take a whole number from 1 on.")
    return cap


def _require_known(file: Path, part: str, content: dict[str, Any]) -> None:
    """Refuse what would not be heeded."""
    for key in content:
        if key not in KEYS[part]:
            known = ", ".join(sorted(KEYS[part]))
            where = f"{part}: " if part else ""
            meant = nearest(str(key), KEYS[part])
            raise InvalidValueError(f"{file}: {where}{key} is not known here. {meant}Known: {known}.")


def _number(value: Any) -> Any:
    """A value, in which texts such as 1e-3 are the numbers that they were meant to be."""
    if isinstance(value, list):
        return [_number(one) for one in value]
    return float(value) if isinstance(value, str) and EXPONENT.fullmatch(value) else value


def _contents(command: Sequence[str]) -> dict[str, str]:
    """SHA-256 of the files that a command names, by their names."""
    files = {name: expanded(name) for word in command if (name := word.rpartition("=")[2])}
    for word, after in itertools.pairwise([*command, ""]):  # of configurations, for short
        name, equals, value = word.partition("=")
        if name in ("-c", "--config") and (value := value if equals else after):
            files[value] = locate(value)
    return {name: file_sha256(file) for name, file in sorted(files.items()) if os.path.isfile(file)}


def _hyperband(file: Path, content: Any) -> Hyperband | None:
    """The bands of `early_terminate`, by its smallest or by its largest number of batches."""
    if content is None:
        return None
    if not isinstance(content, dict) or content.get("type") != "hyperband":
        raise InvalidValueError(f"{file}: early_terminate is {content!r}; give type hyperband, and min_iter.")
    _require_known(file, "early_terminate", content)
    eta = content.get("eta", 3)
    least, most, brackets = (content.get(key) for key in ("min_iter", "max_iter", "s"))
    counts: list[Any] = [least] if least is not None else [most, brackets]
    whole = all(isinstance(number, int) and not isinstance(number, bool) and 1 <= number < MOST for number in counts)
    if not whole or not isinstance(eta, int | float) or not 1 < eta < math.inf:
        raise InvalidValueError(
            f"{file}: early_terminate needs min_iter, or max_iter and s, whole numbers from 1 on, and eta above "
            f"1, but is {content!r}."
        )
    if least is not None:
        found = [least * min(eta, MOST) ** k for k in range(BANDS)]
    else:
        found = [counts[0] / eta**k for k in range(1, min(counts[1], BANDS) + 1)]
    return Hyperband(tuple(sorted({int(band) for band in found if 1 <= band < MOST})), float(eta))


def choices(key: str, parameter: dict[str, Any]) -> list[Any]:
    """The values that a parameter may have, where they are listed.

    Raises:
        ValueError: if they are not.
    """
    if "value" in parameter:
        return [parameter["value"]]
    if isinstance(values := parameter.get("values"), list) and values:
        return values
    raise InvalidValueError(f"parameters: {key} needs value or values in a grid, but has {', '.join(parameter)}.")


def interval(key: str, parameter: dict[str, Any]) -> tuple[str, Any, Any]:
    """The distribution of a parameter whose values are not listed, and its least and its largest value.

    Raises:
        ValueError: if it has none that is known.
    """
    ends: list[Any] = [parameter.get("min"), parameter.get("max")]
    low, high = ends
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
    if not numbers or not -math.inf < low <= high < math.inf:
        raise InvalidValueError(
            f"parameters: {key} needs value, values, or finite numbers min <= max, but got {low!r} and {high!r}."
        )
    whole = isinstance(low, int) and isinstance(high, int)
    kind = parameter.get("distribution", "int_uniform" if whole else "uniform")
    if not {"int_uniform": whole, "uniform": True, "log_uniform_values": low > 0}.get(str(kind), False):
        raise InvalidValueError(
            f"parameters: {key} cannot be drawn from {kind!r} between {low} and {high}; take uniform, int_uniform "
            "(whole numbers) or log_uniform_values (min above 0)."
        )
    return kind, low, high


def _draw(key: str, parameter: dict[str, Any], source: random.Random) -> Any:
    if "value" in parameter or "values" in parameter:
        return source.choice(choices(key, parameter))
    kind, low, high = interval(key, parameter)
    if kind == "int_uniform":
        return source.randint(low, high)
    if kind == "uniform":
        return source.uniform(low, high)
    return math.exp(source.uniform(math.log(low), math.log(high)))
