"""The picture a person looks at: measurement, samples, their mean and spread, and the truth, a row per image."""

import io
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from dis_lightning.files import write_atomically
from dis_lightning.runs.folder import RunFolder, read_png

__all__ = ["draw_grid"]


def draw_grid(folder: RunFolder, records: list[dict[str, Any]], max_samples: int) -> None:
    """Draw `grid.png` from the files of a run folder.

    Args:
        folder: the run folder.
        records: the records of the images to show, a row each.
        max_samples: how many samples of each to show; mean and standard deviation are over all that did not diverge.
    """
    rows = [_row(folder, record, max_samples) for record in records]
    titles = list(rows[0])
    brightest = max((float(row["std"].max()) for row in rows if "std" in row), default=1.0) or 1.0
    # 1.4 inch per picture keeps the titles readable and 8 rows on one screen.
    figure = Figure(figsize=(1.4 * len(titles) + 0.4, 1.4 * len(rows) + 0.3), layout="constrained")
    axes = figure.subplots(len(rows), len(titles), squeeze=False)
    for record, row, line in zip(records, rows, axes, strict=True):
        for title, axis in zip(titles, line, strict=True):
            _show(axis, row[title], brightest)
        line[0].set_ylabel(f"{record['index']:05d}", fontsize=8)
    for title, axis in zip(titles, axes[0], strict=True):
        axis.set_title(f"std, 0 to {brightest:.2f}" if title == "std" else title, fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write_atomically(folder.grid, buffer.getvalue())


def _row(folder: RunFolder, record: dict[str, Any], max_samples: int) -> dict[str, Tensor]:
    """The pictures of one image by title: RGB `(H, W, 3)` or one channel `(H, W)`, in [0, 1]; empty if diverged."""
    index = record["index"]
    samples = [
        torch.empty(0) if diverged else _picture(folder.sample(index, sample))
        for sample, diverged in enumerate(record["diverged"])
    ]
    finite = [sample for sample in samples if sample.numel()]
    stack = torch.stack(finite) if finite else torch.empty(0, 1, 1, 3)
    spread = {
        "mean": stack.mean(dim=0) if finite else torch.empty(0),
        "std": stack.std(dim=0, correction=0).mean(dim=-1) if finite else torch.zeros(1, 1),
    }
    return {
        "measurement": _picture(folder.measurement(index)),
        **{f"sample {number}": sample for number, sample in enumerate(samples[:max_samples])},
        **(spread if len(samples) > 1 else {}),
        **({"truth": _picture(folder.source(index))} if folder.source(index).exists() else {}),
    }


def _picture(file: Path) -> Tensor:
    return read_png(file).expand(3, -1, -1).permute(1, 2, 0) / 255


def _show(axis: Axes, picture: Tensor, brightest: float) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    if picture.numel() == 0:
        axis.text(0.5, 0.5, "diverged", ha="center", va="center", fontsize=8)
    elif picture.ndim == 2:
        axis.imshow(picture.numpy(), cmap="magma", vmin=0, vmax=brightest, interpolation="nearest")
    else:
        axis.imshow(picture.numpy(), interpolation="nearest")
