"""The page: everything that a report shows, in one HTML file that asks for no other."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from dis_lightning import __version__
from dis_lightning.errors import InvalidValueError
from dis_lightning.files import write_atomically
from dis_lightning.metrics.base import Direction
from dis_lightning.report.exports import to_latex, to_markdown
from dis_lightning.report.gallery import make_gallery
from dis_lightning.report.plots import calibration_plot, cost_plots
from dis_lightning.report.tables import make_tables
from dis_lightning.runs.finished import Run, differences, read_runs, same_images

__all__ = ["render", "report"]

SHOWN = ("title", "better")
"""Parts of a definition that the headings of the columns say."""


def report(folders: Sequence[Path], output: Path, max_images: int = 100, max_samples: int = 8) -> Path:
    """Write a report of finished runs: the page, and its tables as Markdown and LaTeX beside it.

    Args:
        folders: the run folders, each once.
        output: where the page goes, `.html`; the tables have its name with `.md` and `.tex`.
        max_images: number of images to show, the first ones.
        max_samples: number of posterior samples of each to show.

    Returns:
        The page's path.

    Raises:
        FileNotFoundError: if a folder is not there, or a file of one is gone.
        ValueError: if a folder is no run folder, its run is not finished, or an argument is out of range.
    """
    if output.suffix != ".html":
        raise InvalidValueError(f"The page is an .html file, but got --output {output}; name it such as report.html.")
    if max_images < 1 or max_samples < 1:
        raise InvalidValueError(
            f"A report needs at least one image and one sample, but got {max_images}, {max_samples}."
        )
    runs = read_runs(folders)
    tables = make_tables(runs)
    # A file name of a data set may hold bytes that are no text.
    write_atomically(output, render(runs, max_images, max_samples).encode(errors="backslashreplace"))
    write_atomically(output.with_suffix(".md"), to_markdown(tables).encode())
    write_atomically(output.with_suffix(".tex"), to_latex(tables).encode())
    return output


def render(runs: Sequence[Run], max_images: int, max_samples: int) -> str:
    """Write the page.

    Args:
        runs: the runs to compare.
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
        tables=make_tables(runs),
        same_images=same_images(runs),
        sources=list(dict.fromkeys(source for run in runs for source in run.reported)),
        definitions=_definitions(runs),
        plots=[plot for plot in (*cost_plots(runs), calibration_plot(runs)) if plot],
        gallery=gallery,
        differences=differences(runs),
        configurations={run.label: run.folder.configuration.read_text() for run in runs},
        titles={column.name: column.title for column in gallery.columns},
        aria={Direction.HIGHER: "higher is better", Direction.LOWER: "lower is better", Direction.NEITHER: ""},
        version=__version__,
    )


def _definitions(runs: Sequence[Run]) -> dict[str, list[str]]:
    """The metrics that share a definition, by its text."""
    names: dict[str, list[str]] = {}
    for run in runs:
        for name, definition in run.summary.get("definitions", {}).items():
            sharing = names.setdefault(
                "; ".join(f"{key}: {value}" for key, value in definition.items() if key not in SHOWN), []
            )
            if name not in sharing:
                sharing.append(name)
    return names
