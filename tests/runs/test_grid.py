"""The grid of a run, panel by panel, and the spread of samples that it shares with the report page."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from batches import batch, solver
from matplotlib.figure import Figure
from PIL import Image
from runs_by_hand import repaint, write_run

from dis_lightning.metrics import PixelStd
from dis_lightning.operators import AveragePool
from dis_lightning.runs import RunFolder
from dis_lightning.runs.folder import read_png
from dis_lightning.runs.grid import draw_grid
from dis_lightning.runs.spread import spread


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def panels(
    run: Path, monkeypatch: pytest.MonkeyPatch, max_samples: int = 1
) -> tuple[list[str], list[list[np.ndarray | str]]]:
    """Titles of the grid, and what is drawn under them: 8-bit pixels, standard deviations or words."""
    drawn: list[Figure] = []

    def spy(figure: Figure, *args: object, **kwargs: object) -> None:
        drawn.append(figure)
        save(figure, *args, **kwargs)

    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", spy)
    folder = RunFolder(run)
    draw_grid(folder, [folder.require(index) for index in folder.indices()], max_samples)
    with Image.open(folder.grid) as picture:
        picture.verify()
    axes = drawn[0].axes
    found = [np.asarray(axis.images[0].get_array()) if axis.images else axis.texts[0].get_text() for axis in axes]
    maps = [axis.images[0] for axis in axes if axis.images and axis.images[0].get_array().ndim == 2]
    assert {shown.get_clim() for shown in maps} == {(0, max(float(shown.get_array().max()) for shown in maps))}
    columns = len(axes) // len(folder.indices())
    pixels = [np.rint(255 * panel) if getattr(panel, "ndim", 0) == 3 else panel for panel in found]
    return [axis.get_title() for axis in axes[:columns]], [
        pixels[first : first + columns] for first in range(0, len(axes), columns)
    ]


def test_the_mean_and_the_standard_deviation_are_those_of_numpy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path, {"psnr": [1.0, 2.0]}, samples=3)
    samples = {index: [noise(3 * index + k, 8, 8, 3) for k in range(3)] for index in range(2)}
    for index, of_image in samples.items():
        repaint(run, index, *of_image)
    titles, rows = panels(run, monkeypatch)
    stds = [np.sqrt(np.var(samples[index], axis=0, ddof=1).mean(axis=-1)) for index in range(2)]
    brightest = max(std.max() for std in stds)
    expected = ["measurement", "sample 0", "mean", f"std, 0 to {brightest:.3g}\ngrey levels", "truth"]
    assert titles == expected
    for index, (_, first, mean, std, truth) in enumerate(rows):
        np.testing.assert_array_equal(first, samples[index][0])
        np.testing.assert_allclose(mean, np.rint(np.mean(samples[index], axis=0)))
        np.testing.assert_allclose(std, stds[index])
        np.testing.assert_array_equal(truth, read_png(run / f"sources/0000{index}.png").permute(1, 2, 0))


@pytest.mark.parametrize("colours", [3, 1])
def test_the_spread_over_all_pixels_is_the_metric_of_that_name(colours: int, tmp_path: Path) -> None:
    run = write_run(tmp_path, {"psnr": [1.0]}, samples=4, diverged=(0, 2))
    samples = [noise(k, 8, 8, colours) for k in range(4)]
    repaint(run, 0, *(sample.squeeze() for sample in samples))
    folder = RunFolder(run)
    found = spread(folder, folder.require(0))
    assert found is not None
    stack = torch.from_numpy(np.stack(samples)).permute(0, 3, 1, 2)[None]
    lost = torch.tensor([[False, False, True, False]])
    metric = PixelStd().measure(batch(stack, diverged=lost), solver(AveragePool(4), 4))["pixel_std"]
    assert math.sqrt(float(np.square(found.std).mean())) == pytest.approx(float(metric), rel=1e-9)
    np.testing.assert_array_equal(found.mean, stack[0, [0, 1, 3]].double().mean(dim=0))


def test_without_the_truth_and_with_what_diverged_the_others_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path, {"y_mse": [1.0, 2.0]}, diverged=(1, 0), truth=False)
    titles, rows = panels(run, monkeypatch, max_samples=2)
    assert [title.partition(",")[0] for title in titles] == ["measurement", "sample 0", "sample 1", "mean", "std"]
    assert all(isinstance(panel, np.ndarray) for panel in rows[0])
    assert rows[1][1] == "diverged"
    assert rows[1][3:] == ["too few samples"] * 2
