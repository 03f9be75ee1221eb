"""The picture a person looks at: measurement, samples, their mean and spread, and the truth, a row per image."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dis_lightning.files import write_atomically
from dis_lightning.runs.ledger import Ledger
from dis_lightning.runs.pictures import read_pixels
from dis_lightning.runs.spread import spread

__all__ = ["draw_grid"]

Panel = npt.NDArray[Any] | str
"""8-bit pixels `(C, H, W)`, a map of standard deviations `(H, W)`, or why there is neither."""


def draw_grid(folder: Ledger, records: list[dict[str, Any]], max_samples: int) -> None:
    """Draw `grid.png` from the files of a run folder.

    Args:
        folder: the run folder.
        records: the records of the images to show, a row each.
        max_samples: how many samples of each to show; mean and standard deviation are over all that did not diverge.
    """
    rows = [_row(folder, record, max_samples) for record in records]
    titles = list(dict.fromkeys(title for row in rows for title in row))
    maps = [panel for row in rows for panel in row.values() if isinstance(panel, np.ndarray) and panel.ndim == 2]
    brightest = max((float(panel.max()) for panel in maps), default=0.0) or 1.0
    shapes = [panel.shape[-2:] for row in rows for panel in row.values() if isinstance(panel, np.ndarray)]
    tallest = min(max((height / width for height, width in shapes), default=1.0), 2.0)
    # 1.4 inch per picture keeps the titles readable and 8 rows on one screen.
    figure = Figure(figsize=(1.4 * len(titles) + 0.4, 1.4 * tallest * len(rows) + 0.3), layout="constrained")
    axes = figure.subplots(len(rows), len(titles), squeeze=False)
    for record, row, line in zip(records, rows, axes, strict=True):
        for title, axis in zip(titles, line, strict=True):
            _show(axis, row.get(title, ""), brightest)
        line[0].set_ylabel(f"{record['index']:05d}", fontsize=8)
    for title, axis in zip(titles, axes[0], strict=True):
        axis.set_title(f"std, 0 to {brightest:.3g}\ngrey levels" if title == "std" else title, fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write_atomically(folder.grid, buffer.getvalue())


def _row(folder: Ledger, record: dict[str, Any], max_samples: int) -> dict[str, Panel]:
    """What is shown of one image, by title."""
    index, lost = record["index"], record["diverged"]
    panels: dict[str, Panel] = {"measurement": read_pixels(folder.measurement(index))}
    for sample, diverged in enumerate(lost[:max_samples]):
        panels[f"sample {sample}"] = "diverged" if diverged else read_pixels(folder.sample(index, sample))
    if len(lost) > 1:
        found = spread(folder, record)
        panels |= dict.fromkeys(("mean", "std"), "too few samples") if found is None else found._asdict()
    return panels | _truth(folder.source(index))


def _truth(file: Path) -> dict[str, Panel]:
    return {"truth": read_pixels(file)} if file.exists() else {}


def _show(axis: Axes, panel: Panel, brightest: float) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    if isinstance(panel, str):
        axis.text(0.5, 0.5, panel, ha="center", va="center", fontsize=8)
    elif panel.ndim == 2:
        axis.imshow(panel, cmap="magma", vmin=0, vmax=brightest, interpolation="nearest")
    else:
        pixels = np.broadcast_to(panel, (3, *panel.shape[1:])).transpose(1, 2, 0) / 255
        axis.imshow(pixels, interpolation="nearest")
