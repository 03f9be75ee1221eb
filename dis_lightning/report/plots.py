"""The plots of a report, as SVG that takes the page's colour of text.

Cost: seconds or network evaluations of an image against S, the number of its posterior samples (Purohit et al. 2024,
figure 2). Runs that differ in nothing but S are one line, and where they have at least two S, their cost is fitted by

    cost(S) = fixed + S * per_sample        (least squares).

One run alone says its cost at one S only; a dotted line shows what it would be if no cost were shared among samples.

Calibration: how often the truth lies in intervals of the posterior's pixels, against the level of the intervals.
"""

import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dis_lightning.runs.configuration import FREE, leaves
from dis_lightning.runs.finished import Run

__all__ = ["Key", "Line", "Plot", "calibration_plot", "cost_lines", "cost_plots"]

INK = "#010203"
"""Stands for the colour of the page's text while a plot is drawn."""

COLOURS = ("#3b82c4", "#e07b39", "#3a9d6e", "#b05fb5", "#c9a227", "#d1495b", "#4aa3a3", "#8a7f72")
"""Apart from each other, and readable on white and on black."""

TIME = (
    "As the clock of each run had it, a batch's time shared among its images: it depends on the machine, on what else "
    "ran there, and on the batch."
)
EVALUATIONS = "Rows that went forward through a network; a backward pass is not counted here."
CALIBRATION = (
    "Calibrated samples are on the dotted line; those below it are too sure, those above not sure enough. Successive "
    "samples of a chain resemble each other, and are below it even where the chain is exact."
)

MARKERS = {"o": "●", "s": "■", "D": "◆", "^": "▲", "v": "▼", "P": "✚", "X": "✖", "*": "★"}
"""The library's name of each and a sign of the same shape."""


class Key(NamedTuple):
    """A line of a plot's legend. It stands in the page, where any label can be shown and lines wrap."""

    mark: str
    """The marker."""
    colour: str
    """Its colour."""
    text: str
    """What it stands for."""


class Plot(NamedTuple):
    """A plot of the page."""

    svg: str
    """The drawing."""
    title: str
    """What it shows."""
    legend: list[Key]
    """One per line of the plot."""
    note: str
    """How to read it."""


@dataclass(frozen=True)
class Line:
    """The cost of runs that differ in nothing but the number of samples.

    Attributes:
        number: position of the first of them among all runs, which have a colour and a marker each.
        label: what they are called.
        samples: numbers of posterior samples, increasing.
        cost: mean cost of an image at each.
    """

    number: int
    label: str
    samples: list[int]
    cost: list[float]

    def fit(self) -> tuple[float, float] | None:
        """The fixed cost and that of a sample, by least squares; None where there is one number of samples."""
        if len(set(self.samples)) < 2:
            return None
        per_sample, fixed = np.polyfit(self.samples, self.cost, 1)
        return float(fixed), float(per_sample)


def cost_lines(runs: Sequence[Run], name: str) -> list[Line]:
    """Collect the cost of the runs, those that differ in nothing but the number of samples together.

    Args:
        runs: the runs.
        name: which cost, such as "seconds".
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if name in run.sections.get("cost", {}):
            groups.setdefault(_without_samples(run.configuration), []).append(run)
    ordered = [sorted(group, key=lambda run: run.samples) for group in groups.values()]
    return [
        Line(
            min(map(runs.index, group)),
            ", ".join(run.label for run in group),
            [run.samples for run in group],
            [run.sections["cost"][name]["mean"] for run in group],
        )
        for group in ordered
    ]


def cost_plots(runs: Sequence[Run]) -> list[Plot]:
    """Draw time and network evaluations of an image against the number of its samples.

    Args:
        runs: the runs to compare.
    """
    drawings = {
        "seconds": ("Time of an image", "seconds", TIME),
        "evaluations": ("Network evaluations of an image", "evaluations", EVALUATIONS),
    }
    return [_cost_plot(lines, name, *words) for name, words in drawings.items() if (lines := cost_lines(runs, name))]


def calibration_plot(runs: Sequence[Run]) -> Plot | None:
    """Draw how often the truth is covered; None where no run has measured it.

    Args:
        runs: the runs to compare.
    """
    curves = {
        number: (run.label, run.summary["calibration"])
        for number, run in enumerate(runs)
        if "calibration" in run.summary
    }
    if not curves:
        return None
    title = "Coverage of the truth"
    figure, axes = _figure("level of the interval", "share of the pixels covered")
    axes.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1)
    for number, (_, curve) in curves.items():
        axes.plot(curve["levels"], curve["coverage"], **_style(number))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    legend = [_key(number, label) for number, (label, _) in curves.items()]
    return Plot(_svg(figure, "calibration", title), title, legend, CALIBRATION)


def _cost_plot(lines: Sequence[Line], name: str, title: str, unit: str, note: str) -> Plot:
    figure, axes = _figure("posterior samples S", unit)
    for line in lines:
        style, fit = _style(line.number), line.fit()
        fixed, per_sample = fit or (0.0, line.cost[0] / line.samples[0])
        reach = np.array([0, 2 * max(line.samples)])
        axes.plot(reach, fixed + per_sample * reach, color=style["color"], linestyle="-" if fit else ":", linewidth=1)
        axes.plot(line.samples, line.cost, **style | {"linestyle": ""})
    axes.set_xlim(0, 1.15 * max(max(line.samples) for line in lines))
    axes.set_ylim(0, 1.15 * max(max(line.cost) for line in lines) or 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend = [_key(line.number, _explain(line, unit)) for line in lines]
    return Plot(_svg(figure, name, title), title, legend, note)


def _explain(line: Line, unit: str) -> str:
    fit = line.fit()
    if fit is None:
        return f"{line.label}: {line.cost[0]:.4g} {unit} at S = {line.samples[0]}"
    fixed, each = (round(part, 9) + 0.0 for part in fit)  # neither 1e-15 nor -0
    return f"{line.label}: {fixed:.3g} {unit} {'-' if each < 0 else '+'} {abs(each):.3g} for each sample"


def _without_samples(configuration: dict[str, Any]) -> str:
    """What a run is made of, apart from how many images and samples, as text."""
    left_out = (*FREE, "model.init_args.num_samples", "data.init_args.num_images")
    kept = {key: value for key, value in leaves(configuration) if not key.startswith(left_out)}
    return json.dumps(kept, sort_keys=True, default=str)


def _figure(x: str, y: str) -> tuple[Figure, Axes]:
    with matplotlib.rc_context(
        {"axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK},
    ):
        figure = Figure(figsize=(4.6, 3.2), layout="constrained")
        axes = figure.subplots()
        axes.set_xlabel(x)
        axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _style(number: int) -> dict[str, Any]:
    # With every round of the colours the markers move on by one, so that up to 64 runs are told apart.
    marker = list(MARKERS)[(number + number // len(COLOURS)) % len(MARKERS)]
    return {"color": COLOURS[number % len(COLOURS)], "marker": marker, "markersize": 6, "linewidth": 1.5}


def _key(number: int, text: str) -> Key:
    style = _style(number)
    return Key(MARKERS[style["marker"]], style["color"], text)


def _svg(figure: Figure, name: str, title: str) -> str:
    """The figure as an SVG element whose names nothing else on the page has, the same for the same figure."""
    buffer = io.StringIO()
    # Text stays text; the salt makes matplotlib's names a function of the figure.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawing = buffer.getvalue()
    drawing = drawing[drawing.index("<svg") :].replace(INK, "currentColor")
    drawing = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", drawing)
    return drawing.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
