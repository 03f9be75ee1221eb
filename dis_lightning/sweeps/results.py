"""What a sweep has found: a table, a plot for each number that varies, a page, and `best.yaml` for `--config`."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from matplotlib.figure import Figure

from dis_lightning.files import write_atomically
from dis_lightning.report import report
from dis_lightning.sweeps.definition import Sweep
from dis_lightning.sweeps.trials import Trial

__all__ = ["write_results"]


def write_results(sweep: Sweep, trials: Sequence[Trial]) -> list[tuple[Trial, dict[str, Any] | None]]:
    """Write all beside the run folders; give the trials with their entries, the best first, those without one last.

    That is `trials.csv`, `KEY.png`, `best.yaml`, and `report.html` with its tables for all trials that are finished.

    Args:
        sweep: the sweep.
        trials: its trials, at least one.
    """
    found = [(trial, trial.entry(sweep.metric)) for trial in trials]
    sign = -1.0 if sweep.maximize else 1.0
    found.sort(key=lambda pair: (pair[1] is None, sign * pair[1]["mean"] if pair[1] else 0.0))
    folder = trials[0].folder.parent
    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["trial", *sweep.parameters, sweep.metric, "standard_error", "state"])
    for trial, entry in found:
        numbers = (entry["mean"], entry["standard_error"]) if entry else ("", "")
        writer.writerow([trial.folder.name, *trial.values.values(), *numbers, trial.state()])
    write_atomically(folder / "trials.csv", text.getvalue().encode())
    for key, parameter in sweep.parameters.items():
        _plot(sweep, key, found, folder, "log" in str(parameter.get("distribution")))
    best, entry = found[0]
    if entry is not None:
        write_atomically(folder / "best.yaml", yaml.safe_dump(_nested(best.values), sort_keys=False).encode())
    if finished := [trial.folder for trial, _ in found if trial.diverged() is not None]:
        report(finished, folder / "report.html")
    return found


def _plot(
    sweep: Sweep, key: str, found: Sequence[tuple[Trial, dict[str, Any] | None]], folder: Path, logarithmic: bool
) -> None:
    """Draw the metric with its standard errors over one parameter, if that is a number and varies."""
    points = [(trial.values[key], entry["mean"], entry["standard_error"] or 0.0) for trial, entry in found if entry]
    if not all(isinstance(point[0], int | float) for point in points) or len({point[0] for point in points}) < 2:
        return
    values, means, errors = zip(*sorted(points), strict=True)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot(xlabel=key, ylabel=sweep.metric, xscale="log" if logarithmic else "linear")
    axes.errorbar(values, means, yerr=errors, fmt="o", capsize=3)
    figure.savefig(folder / f"{key}.png", dpi=150)


def _nested(values: dict[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in values.items():
        *parents, last = key.split(".")
        part = nested
        for parent in parents:
            part = part.setdefault(parent, {})
        part[last] = value
    return nested
