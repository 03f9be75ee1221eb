"""A sweep's file in the format of W&B: `program`, `command`, `method`, `metric`, `parameters`, `run_cap`."""

import hashlib
import itertools
import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dis_lightning.errors import InvalidValueError, MissingFileError

__all__ = ["Sweep", "read_sweep"]

METHODS = ("grid", "random")


@dataclass(frozen=True)
class Sweep:
    """What a sweep's file says.

    Attributes:
        name: what it is called.
        method: `grid` or `random`.
        metric: the flattened name, such as `x/psnr`, as loggers get it.
        maximize: whether more of it is better.
        parameters: W&B's description of each parameter, by dotted key.
        command: the words of a trial's command, `${args}` among them.
        run_cap: the largest number of trials; None for all of a grid.
    """

    name: str
    method: str
    metric: str
    maximize: bool
    parameters: dict[str, dict[str, Any]]
    command: list[str]
    run_cap: int | None

    @property
    def fingerprint(self) -> str:
        """Twelve digits that another definition does not share; how many trials are run is no part of it."""
        content = [self.method, self.metric, self.maximize, self.parameters, self.command]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    def values(self, seed: int) -> Iterator[dict[str, Any]]:
        """The values of each trial by dotted key, in order; a longer sweep begins with the trials of a shorter one.

        Args:
            seed: of the draws of `random`.
        """
        trials = self._grid() if self.method == "grid" else self._random(seed)
        return itertools.islice(trials, self.run_cap)

    def _grid(self) -> Iterator[dict[str, Any]]:
        choices = [_choices(key, parameter) for key, parameter in self.parameters.items()]
        return (dict(zip(self.parameters, row, strict=True)) for row in itertools.product(*choices))

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
    if not file.is_file():
        raise MissingFileError(f"There is no file {file}. Give a sweep's YAML file.")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidValueError(f"{file} is no YAML file: {error}") from error
    if not isinstance(content, dict):
        raise InvalidValueError(f"{file} needs keys such as method, metric and parameters.")
    metric, parameters, command = (content.get(key) for key in ("metric", "parameters", "command"))
    if content.get("method") not in METHODS:
        raise InvalidValueError(f"{file}: method is {content.get('method')!r}; take one of {', '.join(METHODS)}.")
    if not isinstance(metric, dict) or not isinstance(metric.get("name"), str):
        raise InvalidValueError(f"{file} needs metric.name, a name that loggers get, such as x/psnr.")
    if (goal := metric.get("goal", "minimize")) not in ("minimize", "maximize"):
        raise InvalidValueError(f"{file}: metric.goal is {goal!r}; take minimize or maximize.")
    if not isinstance(parameters, dict) or not all(isinstance(one, dict) for one in parameters.values()):
        raise InvalidValueError(f"{file} needs parameters: by dotted key, each with value, values, or min and max.")
    if not isinstance(command, list) or "${args}" not in command:
        raise InvalidValueError(f"{file} needs command, a list of words with ${{args}} among them.")
    cap = content.get("run_cap")
    if cap is None and content["method"] == "random":
        raise InvalidValueError(f"{file} needs run_cap, the number of trials: random draws have no end.")
    if cap is not None and (not isinstance(cap, int) or cap < 1):
        raise InvalidValueError(f"{file}: run_cap is {cap!r}; take a whole number from 1 on.")
    words = [word.replace("${program}", str(content.get("program", ""))) for word in map(str, command)]
    name = str(content.get("name", file.stem))
    sweep = Sweep(name, content["method"], metric["name"], goal == "maximize", parameters, words, cap)
    next(sweep.values(0))  # what cannot be drawn is told now
    return sweep


def _choices(key: str, parameter: dict[str, Any]) -> list[Any]:
    if "value" in parameter:
        return [parameter["value"]]
    if isinstance(values := parameter.get("values"), list) and values:
        return values
    raise InvalidValueError(f"parameters: {key} needs value or values in a grid, but has {', '.join(parameter)}.")


def _draw(key: str, parameter: dict[str, Any], source: random.Random) -> Any:
    if "value" in parameter or "values" in parameter:
        return source.choice(_choices(key, parameter))
    low, high = parameter.get("min"), parameter.get("max")
    if not isinstance(low, int | float) or not isinstance(high, int | float) or low > high:
        raise InvalidValueError(f"parameters: {key} needs value, values, or numbers min <= max.")
    whole = isinstance(low, int) and isinstance(high, int)
    match parameter.get("distribution", "int_uniform" if whole else "uniform"):
        case "int_uniform" if whole:
            return source.randint(int(low), int(high))
        case "uniform":
            return source.uniform(low, high)
        case "log_uniform_values" if low > 0:
            return math.exp(source.uniform(math.log(low), math.log(high)))
        case other:
            raise InvalidValueError(
                f"parameters: {key} cannot be drawn from {other!r} between {low} and {high}; take uniform, int_uniform "
                "(whole numbers) or log_uniform_values (min above 0)."
            )
