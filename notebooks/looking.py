"""How the notebooks show pictures: rows of images, each with a word at its left. Libraries are kept quiet."""

from collections.abc import Mapping

from matplotlib import pyplot
from torch import Tensor

from dis_lightning.streams import quieten

__all__ = ["show"]

quieten()


def show(rows: Mapping[str, Tensor], columns: list[str] | None = None, inch: float = 1.0) -> None:
    """Show rows of pictures, pixel by pixel.

    Args:
        rows: by what is written at their left: pictures in [-1, 1], `(N, 3, H, W)` or grey `(N, 1, H, W)`, clamped; or
            maps `(N, H, W)` of numbers >= 0, which share one scale.
        columns: what is written above the columns.
        inch: height and width of a picture.
    """
    width = max(map(len, rows.values()))
    _, axes = pyplot.subplots(
        len(rows), width, figsize=(inch * width + 1.2, inch * len(rows) + 0.3), squeeze=False, layout="constrained"
    )
    maps = [row for row in rows.values() if row.ndim == 3]
    brightest = max((float(row.max()) for row in maps), default=1.0)
    for line, (title, row) in zip(axes, rows.items(), strict=True):
        for axis, picture in zip(line, row.detach().cpu(), strict=False):
            if picture.ndim == 2:
                axis.imshow(picture, cmap="magma", vmin=0, vmax=brightest, interpolation="nearest")
            else:
                pixels = (picture.clamp(-1, 1) + 1) / 2
                axis.imshow(pixels.expand(3, -1, -1).permute(1, 2, 0), interpolation="nearest")
        for axis in line:
            axis.set(xticks=[], yticks=[], frame_on=False)
        line[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=9)
    for axis, title in zip(axes[0], columns or [], strict=False):
        axis.set_title(title, fontsize=9)
    pyplot.show()
