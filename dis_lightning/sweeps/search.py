"""Where the values of the next trial come from."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

from dis_lightning.errors import MissingPackageError
from dis_lightning.sweeps.definition import Sweep, choices, interval

__all__ = ["Bayes", "Listed", "Search", "Values"]

Values = dict[str, Any]
"""What a trial gives each parameter, by dotted key."""


class Search(ABC):
    """Gives the values of one trial after the other, and may learn from what they were worth."""

    @abstractmethod
    def ask(self) -> Values | None:
        """The values of the next trial; None where there are enough."""

    @abstractmethod
    def tell(self, values: Values, result: float | None) -> None:
        """Learn from a trial that has ended.

        Args:
            values: what `ask` gave.
            result: its metric; None where it failed or was stopped.
        """


class Listed(Search):
    """Values that are known from the start, of a grid or of random draws, each once."""

    def __init__(self, values: Iterable[Values]) -> None:
        self._left = iter({json.dumps(one, sort_keys=True): one for one in values}.values())

    def ask(self) -> Values | None:
        """See `Search`."""
        return next(self._left, None)

    def tell(self, values: Values, result: float | None) -> None:
        """Learn nothing."""


class Bayes(Search):
    """Values where the trials so far promise most: a tree of Parzen estimators.

    Bergstra, Bardenet, Bengio, Kegl, "Algorithms for Hyper-Parameter Optimization", 2011, by optuna.

    Args:
        sweep: the sweep; `run_cap` is the number of trials in all.
        seed: of its draws.
        ended: trials of an earlier command, with their metric, or None where they failed or were stopped.
        begun: trials of an earlier command that are not finished: they come first.

    Raises:
        ModuleNotFoundError: if optuna is not installed.
    """

    def __init__(
        self, sweep: Sweep, seed: int, ended: Sequence[tuple[Values, float | None]], begun: Sequence[Values]
    ) -> None:
        try:
            import optuna
        except ModuleNotFoundError as error:
            raise MissingPackageError("method: bayes needs optuna: pip install 'dis-lightning[sweep]'.") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        self._spaces = {key: _space(optuna.distributions, key, one) for key, one in sweep.parameters.items()}
        sampler = optuna.samplers.TPESampler(seed=seed + len(ended))  # else a second command would draw the same again
        self._study = optuna.create_study(sampler=sampler, direction="maximize" if sweep.maximize else "minimize")
        self._asked: dict[str, list[Any]] = {}
        self._begun = list(begun)
        assert sweep.run_cap is not None
        self._left = sweep.run_cap - len(ended)
        for values, result in ended:
            state = optuna.trial.TrialState.FAIL if result is None else optuna.trial.TrialState.COMPLETE
            params = {key: self._spoken(key, value) for key, value in values.items()}
            self._study.add_trial(
                optuna.trial.create_trial(state=state, params=params, distributions=self._spaces, value=result)
            )

    def ask(self) -> Values | None:
        """See `Search`."""
        if self._left <= 0:
            return None
        self._left -= 1
        if self._begun:
            values = self._begun.pop(0)
            self._study.enqueue_trial({key: self._spoken(key, value) for key, value in values.items()})
        trial = self._study.ask(self._spaces)
        values = {
            key: json.loads(value) if isinstance(value, str) else value
            for key, value in ((key, trial.params[key]) for key in self._spaces)
        }
        self._asked.setdefault(json.dumps(values, sort_keys=True), []).append(trial)  # one may be asked for twice
        return values

    def tell(self, values: Values, result: float | None) -> None:
        """See `Search`."""
        trial = self._asked[json.dumps(values, sort_keys=True)].pop(0)
        if result is None:
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(trial, result)

    def _spoken(self, key: str, value: Any) -> Any:
        """A value as optuna has it: of a choice, which may be a list, as JSON."""
        choice = isinstance(self._spaces[key], self._optuna.distributions.CategoricalDistribution)
        return json.dumps(value) if choice else value


def _space(distributions: Any, key: str, parameter: dict[str, Any]) -> Any:
    """The space of a parameter."""
    if "value" in parameter or "values" in parameter:
        return distributions.CategoricalDistribution([json.dumps(value) for value in choices(key, parameter)])
    kind, low, high = interval(key, parameter)
    if kind == "int_uniform":
        return distributions.IntDistribution(low, high)
    return distributions.FloatDistribution(low, high, log=kind == "log_uniform_values")
