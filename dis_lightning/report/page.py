"""The page: everything that a report shows, in one HTML file that asks for no other."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from dis_lightning import __version__
from dis_lightning.errors import InvalidValueError, require_whole
from dis_lightning.files import write_atomically
from dis_lightning.report.columns import describe
from dis_lightning.report.exports import to_latex, to_markdown
from dis_lightning.report.gallery import make_gallery
from dis_lightning.report.plots import calibration_plot, cost_plots
from dis_lightning.report.tables import Table, make_tables
from dis_lightning.runs.finished import Run, comparability, differences, read_runs, same_images
from dis_lightning.runs.ledger import MARK, require_page, tables_beside
from dis_lightning.values import Direction

__all__ = ["render", "report"]

SHOWN = ("what", "title", "unit", "better", "level", "caution")
"""Parts of a definition that stand elsewhere on the page: in headings, cells and notes, or before the other parts."""

DIGITS = 12
"""How many digits of a hash are shown."""


class Definition(NamedTuple):
    """What a value is."""

    titles: list[str]
    """Titles of the values that share it, with their names."""
    labels: list[str]
    """The runs that define it so; empty where all that have the values do."""
    what: str
    """A sentence."""
    facts: dict[str, str]
    """All else that another number of that name may differ in."""


def report(
    folders: Sequence[Path],
    output: Path,
    max_images: int = 100,
    max_samples: int = 8,
    labels: Sequence[str] | None = None,
) -> Path:
    """Write a report of finished runs: the page, and its tables as Markdown and LaTeX beside it.

    Args:
        folders: the run folders, each once.
        output: where the page goes, `.html`; the tables have its name with `.md` and `.tex`.
        max_images: number of images to show, the first ones.
        max_samples: number of posterior samples of each to show.
        labels: what the runs are called, each otherwise; by default the ends of their paths.

    Returns:
        The page's path.

    Raises:
        FileNotFoundError: if a folder is not there, or a file of one is gone.
        OSError: if the page or its tables would be written over other files.
        ValueError: if a folder is no run folder, its run is not finished, or an argument is out of range.
    """
    if output.suffix != ".html":
        raise InvalidValueError(f"The page is an .html file, but got --output {output}; name it such as report.html.")
    require_whole("A report", 1, max_images=max_images, max_samples=max_samples)
    require_page(output)
    runs = read_runs(folders, labels)
    tables, caution = make_tables(runs), comparability(runs)
    markdown, latex = tables_beside(output)
    texts = {
        output: render(runs, tables, caution, max_images, max_samples),
        markdown: to_markdown(tables, caution),
        latex: to_latex(tables, caution),
    }
    for place, text in texts.items():
        # The name of a file or a folder may hold bytes that are no text.
        write_atomically(place, text.encode(errors="backslashreplace"))
    return output


def render(runs: Sequence[Run], tables: Sequence[Table], caution: str | None, max_images: int, max_samples: int) -> str:
    """Write the page.

    Args:
        runs: the runs to compare.
        tables: their values.
        caution: what is to be known before these are compared.
        max_images: number of images to show, the first ones.
        max_samples: number of posterior samples of each to show.
    """
    environment = Environment(
        loader=PackageLoader("dis_lightning.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    gallery = make_gallery(runs, max_images, max_samples)
    return environment.get_template("page.html.j2").render(
        runs=runs,
        tables=tables,
        same_images=same_images(runs),
        caution=caution,
        sources=list(dict.fromkeys(source for run in runs for source in run.reported)),
        definitions=_definitions(runs),
        plots=[plot for plot in (*cost_plots(runs), calibration_plot(runs)) if plot],
        gallery=gallery,
        differences=differences(runs),
        configurations={run.label: run.ledger.configuration.read_text() for run in runs},
        titles={column.name: column.title for column in gallery.columns},
        aria={Direction.HIGHER: "higher is better", Direction.LOWER: "lower is better", Direction.NEITHER: ""},
        mark=MARK,
        version=__version__,
    )


def _definitions(runs: Sequence[Run]) -> list[Definition]:
    """What the values are; those that share a definition once, and a value that runs define differently for each."""
    having: dict[str, list[str]] = {}
    sharing: dict[str, tuple[dict[str, Any], dict[str, list[str]]]] = {}
    for run in runs:
        for name, definition in run.summary["definitions"].items():
            having.setdefault(name, []).append(run.label)
            text = {key: value for key, value in definition.items() if key not in SHOWN[1:]}
            names = sharing.setdefault(json.dumps(text), (text, {}))[1]
            names.setdefault(name, []).append(run.label)
    return [
        Definition(
            [f"{describe(name, runs).title} ({name})" for name in names],
            next((labels for name, labels in names.items() if labels != having[name]), []),
            str(text.get("what", "")),
            {key.replace("_", " "): _fact(key, value) for key, value in text.items() if key not in SHOWN},
        )
        for text, names in sharing.values()
        if text
    ]


def _fact(key: str, value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    text = str(value)
    return f"{text[:DIGITS]}…" if key.endswith(("sha256", "digest")) and len(text) > DIGITS else text
