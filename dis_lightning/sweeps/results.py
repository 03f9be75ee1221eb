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
from dis_lightning.sweeps.trials import Ending, Trial

__all__ = ["short_keys", "shown", "write_results"]


def write_results(sweep: Sweep, trials: Sequence[Trial]) -> list[tuple[Trial, Ending]]:
    """Write all beside the run folders; give the trials with their endings, the best first, those without value last.

    That is `trials.csv`, `KEY.png`, `best.yaml`, and `report.html` with its tables for all trials that are finished.

    Args:
        sweep: the sweep.
        trials: its trials, at least one.
    """
    found = [(trial, trial.ending(sweep.metric)) for trial in trials]
    sign = -1.0 if sweep.maximize else 1.0
    found.sort(key=lambda pair: (pair[1].mean is None, sign * (pair[1].mean or 0.0)))
    folder = trials[0].folder.parent
    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["trial", *sweep.parameters, sweep.metric, "standard_error", "state"])
    for trial, ending in found:
        writer.writerow([trial.folder.name, *trial.values.values(), *ending.cells, ending.words])
    write_atomically(folder / "trials.csv", text.getvalue().encode())
    for key, parameter in sweep.parameters.items():
        _plot(sweep, key, found, folder, "log" in str(parameter.get("distribution")))
    best, ending = found[0]
    if ending.entry is not None:
        write_atomically(folder / "best.yaml", yaml.safe_dump(_nested(best.values), sort_keys=False).encode())
    if finished := [trial.folder for trial, ending in found if ending.finished]:
        labels = [_label(sweep, trial) for trial, ending in found if ending.finished]
        report(finished, folder / "report.html", labels=labels if len({*labels, ""}) > len(labels) else None)
    return found


def short_keys(sweep: Sweep) -> list[str]:
    """The last words of the parameters' keys, or all of them where these are not enough."""
    last = [key.rpartition(".")[2] for key in sweep.parameters]
    return last if len(set(last)) == len(last) else list(sweep.parameters)


def shown(value: Any) -> str:
    """A value for people."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _label(sweep: Sweep, trial: Trial) -> str:
    """What a trial is called on the page: the values that others may not share."""
    parts = zip(short_keys(sweep), sweep.parameters.values(), trial.values.values(), strict=True)
    return " ".join(f"{key}={shown(value)}" for key, parameter, value in parts if "value" not in parameter)


def _plot(sweep: Sweep, key: str, found: Sequence[tuple[Trial, Ending]], folder: Path, logarithmic: bool) -> None:
    """Draw the metric with its standard errors over one parameter, if that is a number and varies."""
    entries = [(trial.values[key], ending.entry) for trial, ending in found if ending.entry]
    points = [(value, entry["mean"], entry["standard_error"] or 0.0) for value, entry in entries]
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value, _ in entries):
        return
    if len({value for value, _ in entries}) < 2:
        return
    values, means, errors = zip(*sorted(points), strict=True)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot(xlabel=key, ylabel=sweep.metric, xscale="log" if logarithmic else "linear")
    axes.errorbar(values, means, yerr=errors, fmt="o", capsize=3)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=150)
    write_atomically(folder / f"{key}.png", picture.getvalue())


def _nested(values: dict[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    whole = {key.split(".init_args.")[0] for key in values if ".init_args." in key}
    for key, value in values.items():
        head, _, rest = key.partition(".")
        if head in whole and not rest.startswith(("init_args.", "class_path")):  # in one spelling, as a file must be
            key = f"{head}.init_args.{rest}"
        *parents, last = key.split(".")
        part = nested
        for parent in parents:
            part = part.setdefault(parent, {})
        part[last] = value
    return nested
