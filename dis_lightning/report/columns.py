"""How the values of runs are called, their units, and which direction is better: as the runs' own definitions say.

A value that no run has measured, and that only a paper reports, is called as the metric of that name calls it.
"""

from collections.abc import Sequence

from dis_lightning.runs.finished import Run
from dis_lightning.values import Direction, Value, shown

__all__ = ["describe"]


def describe(name: str, runs: Sequence[Run]) -> Value:
    """How a value is shown; a name that nobody knows stands as it is, and none of its values is called the best.

    Args:
        name: its name in `metrics.json`.
        runs: the runs that may have it; the first one's definition counts.
    """
    for run in runs:
        definition = run.summary["definitions"].get(name, {})
        if "title" in definition:
            return Value(definition["title"], Direction(definition["better"]), definition.get("unit", ""))
    return shown(name, _known()) or Value(name.replace("_", " "), Direction.NEITHER)


def _known() -> dict[str, Value]:
    """The values of all metrics of the package."""
    from dis_lightning import metrics  # late: it imports all that computes them

    classes = [one for one in vars(metrics).values() if isinstance(one, type) and issubclass(one, metrics.Metric)]
    return {name: value for kind in classes for name, value in kind.values.items()}
