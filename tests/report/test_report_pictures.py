"""The pictures and plots of a report, pixel by pixel and number by number."""

import base64
import io
import math
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from runs_by_hand import repaint, write_run

from dis_lightning.report import report
from dis_lightning.report.gallery import Gallery, make_gallery
from dis_lightning.report.pictures import Picture, choose_encoder, colour
from dis_lightning.report.plots import INK, calibration_plot, cost_lines, cost_plots
from dis_lightning.runs.finished import read_runs
from dis_lightning.runs.folder import RunFolder
from dis_lightning.runs.kept import Kept
from dis_lightning.runs.pictures import read_legend
from dis_lightning.types import Cost, Draws


def pixels(picture: Picture | None) -> np.ndarray:
    assert picture is not None
    with Image.open(io.BytesIO(base64.b64decode(picture.uri.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGB"))


def gallery(*folders: Path, max_images: int = 10, max_samples: int = 10) -> Gallery:
    return make_gallery(read_runs(folders), max_images, max_samples)


def test_mean_and_standard_deviation_are_over_all_samples_also_those_not_shown(tmp_path: Path) -> None:
    made = gallery(write_run(tmp_path, {"psnr": [1.0]}, samples=3), max_samples=1)
    (strip,) = made.entries[0].strips
    sample, mean, std = strip.pictures
    assert strip.hidden == 2
    assert (pixels(sample) == 0).all()
    assert (pixels(mean) == 50).all()  # of 0, 50 and 100
    assert math.isclose(made.largest, 50, rel_tol=1e-6)  # grey levels
    assert (pixels(std) == colour(np.ones((8, 8)), 1.0)).all()


def coloured(*colour: int) -> np.ndarray:
    return np.full((8, 8, 3), colour, dtype=np.uint8)


def test_the_standard_deviation_is_the_mean_variance_over_the_colours_in_grey_levels(tmp_path: Path) -> None:
    run = write_run(tmp_path, {"psnr": [1.0, 2.0]})
    repaint(run, 0, coloured(10, 20, 30), coloured(16, 28, 30))  # variances 18, 32 and 0
    repaint(run, 1, coloured(100, 0, 0), coloured(100, 0, 2))  # 0, 0 and 2
    made = gallery(run)
    first, second = (entry.strips[0].pictures[-1] for entry in made.entries)
    expected = [math.sqrt(50 / 3), math.sqrt(2 / 3)]
    assert math.isclose(made.largest, expected[0], rel_tol=1e-9)
    assert (pixels(first) == colour(np.ones((8, 8)), 1.0)).all()
    assert (pixels(second) == colour(np.full((8, 8), expected[1] / expected[0]), 1.0)).all()


def test_a_diverged_sample_leaves_its_place_empty_and_is_in_no_mean(tmp_path: Path) -> None:
    made = gallery(write_run(tmp_path, {"psnr": [1.0, 2.0]}, samples=3, diverged=(1, 0)))
    first, second = (entry.strips[0].pictures for entry in made.entries)
    assert first[0] is not None
    assert second[0] is None
    assert (pixels(second[3]) == 75).all()


def test_one_sample_has_no_mean(tmp_path: Path) -> None:
    made = gallery(write_run(tmp_path, {"psnr": [1.0]}, samples=1))
    assert len(made.entries[0].strips[0].pictures) == 1


def test_pictures_are_the_files_byte_by_byte(tmp_path: Path) -> None:
    run = write_run(tmp_path, {"psnr": [1.0]})
    truth, measurement = gallery(run).entries[0].given
    for picture, file in ((truth, "sources/00000.png"), (measurement, "measurements/00000.png")):
        assert base64.b64decode(picture.uri.partition(",")[2]) == (run / file).read_bytes()
    assert (measurement.width, measurement.height) == (2, 2)


def test_runs_share_an_image_only_where_the_clean_images_are_equal(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / str(n), {"psnr": [1.0, 2.0]}, world=n // 2) for n in range(3)]
    entries = gallery(*runs).entries
    assert sorted((entry.number, [strip.run for strip in entry.strips]) for entry in entries) == [
        (0, [0, 1]),
        (0, [2]),
        (1, [0, 1]),
        (1, [2]),
    ]


def test_different_measurements_of_an_image_are_all_shown(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, {"psnr": [1.0]}, grey=grey) for name, grey in (("a", 0), ("b", 7))]
    titles = [picture.title for picture in gallery(*runs).entries[0].given]
    assert titles == ["truth", "measurement of a", "measurement of b"]


def test_a_caption_is_shown_once_as_it_is(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", {"psnr": [1.0]})
    (run / "measurements" / "00000.txt").write_text("a bed & a <door>")
    page = report([run], tmp_path / "report.html").read_text()
    assert "<blockquote>a bed &amp; a &lt;door&gt;</blockquote>" in page
    assert [picture.title for picture in gallery(run).entries[0].given] == ["truth"]  # not as a picture of words too


def test_where_nobody_knows_the_clean_images_there_is_no_picture_of_them(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, {"y_mse": [1.0, 2.0]}, truth=False) for name in "ab"]
    made = gallery(*runs)
    assert [[picture.title for picture in entry.given] for entry in made.entries] == [["measurement"]] * 2
    assert [[strip.run for strip in entry.strips] for entry in made.entries] == [[0, 1]] * 2
    assert 'alt="measurement: 0 test/0, 2' in report(runs, tmp_path / "report.html").read_text()


def test_the_classes_in_the_measurements_have_a_legend(tmp_path: Path) -> None:
    folder, classes = tmp_path / "run", ("wall", "bed", "lamp <3")
    write_run(folder, {"psnr": [1.0]})
    colours = torch.tensor([[250, 0, 0], [0, 250, 0], [1, 2, 3]], dtype=torch.uint8)
    picture = torch.tensor([[0, 2], [2, 2]])
    samples, source = torch.zeros(1, 1, 3, 2, 2, dtype=torch.uint8), torch.zeros(3, 2, 2, dtype=torch.uint8)
    draws = Draws(samples, torch.zeros(1, 1, dtype=torch.bool), [Cost(0.0, 0.0, 0.0, 0.0)])
    run = RunFolder(tmp_path / "maps")
    run.write([0], [Kept("room", source, picture, picture, colours, classes=classes)], draws, "hand")
    assert read_legend(run.measurement(0)) == {"wall": (250, 0, 0), "lamp <3": (1, 2, 3)}
    assert read_legend(run.sample(0, 0)) == {}
    shutil.copy(run.measurement(0), folder / "measurements" / "00000.png")
    repaint(folder, 0)
    assert gallery(folder).legend == {"wall": "rgb(250, 0, 0)", "lamp <3": "rgb(1, 2, 3)"}
    page = report([folder], tmp_path / "report.html").read_text()
    assert '<li><span style="background: rgb(1, 2, 3)"></span> lamp &lt;3</li>' in page
    assert gallery(write_run(tmp_path / "none", {"psnr": [1.0]})).legend == {}


def test_only_the_first_images_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    made = gallery(write_run(tmp_path, {"psnr": [1.0, 2.0, 3.0]}), max_images=2)
    assert [entry.number for entry in made.entries] == [0, 1]
    assert made.total == 3


def test_heavy_pictures_are_shrunk_until_a_page_can_be_mailed(tmp_path: Path) -> None:
    run = write_run(tmp_path, {"psnr": [1.0] * 6}, samples=1, side=800)  # noise: 1.9 MB each
    made = gallery(run)
    truth, measurement = made.entries[0].given
    assert made.shrunk
    assert pixels(truth).shape == (500, 500, 3)
    assert (truth.width, truth.height) == (800, 800)
    assert pixels(measurement).shape == (2, 2, 3)
    assert report([run], tmp_path / "report.html").stat().st_size < 12_000_000


def test_pictures_of_very_many_files_are_not_shrunk_beyond_recognition(tmp_path: Path) -> None:
    file = write_run(tmp_path, {"psnr": [1.0]}, side=600) / "sources" / "00000.png"
    assert choose_encoder([file] * 8, drawn=0.0).side is None
    assert choose_encoder([file] * 100, drawn=0.0).side == 300
    assert choose_encoder([file] * 100_000, drawn=0.0).side == 128


def test_a_page_of_a_hundred_small_images_can_be_mailed(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, {"psnr": [1.0] * 100}, samples=1, side=32) for name in "abc"]
    assert not gallery(*runs, max_images=100).shrunk
    assert report(runs, tmp_path / "report.html").stat().st_size < 15_000_000


def costs(folder: Path, *given: tuple[str, int, float]) -> list[Path]:
    """Runs of a solver each, with a number of samples and a time."""
    return [
        write_run(
            folder / f"{solver}_{samples}",
            {"psnr": [1.0]},
            samples=samples,
            seconds=seconds,
            configuration={"model": {"class_path": solver, "init_args": {"num_samples": samples}}},
        )
        for solver, samples, seconds in given
    ]


def test_runs_that_differ_in_samples_alone_are_one_line_with_a_fixed_cost(tmp_path: Path) -> None:
    runs = read_runs(costs(tmp_path, ("Chain", 4, 11.0), ("DPS", 2, 8.0), ("Chain", 1, 5.0), ("Chain", 2, 7.0)))
    chain, dps = cost_lines(runs, "seconds")
    assert (chain.label, chain.samples, chain.cost) == ("Chain_1, Chain_2, Chain_4", [1, 2, 4], [5.0, 7.0, 11.0])
    assert chain.fit() == pytest.approx((3.0, 2.0))
    assert dps.fit() is None


def test_the_words_beside_a_plot_say_what_one_run_cannot(tmp_path: Path) -> None:
    runs = read_runs(costs(tmp_path, ("Chain", 4, 11.0), ("DPS", 2, 8.0), ("Chain", 1, 5.0)))
    seconds, evaluations = cost_plots(runs)
    assert [key.text for key in seconds.legend] == [
        "Chain_1, Chain_4: 3 seconds + 2 for each sample",
        "DPS_2: 8 seconds at S = 2",
    ]
    assert [key.text for key in evaluations.legend][1] == "DPS_2: 20 evaluations at S = 2"


def test_every_run_has_one_sign_in_all_plots(tmp_path: Path) -> None:
    calibration = {"levels": [0.5], "coverage": [0.4]}
    more = [{"calibration": calibration} if n % 3 == 2 else {} for n in range(20)]
    model = {"class_path": "S", "init_args": {}}
    runs = [
        write_run(tmp_path / f"r{n}", {"psnr": [1.0]}, configuration={"model": {**model, "seed": n}}, **part)
        for n, part in enumerate(more)
    ]
    seconds, evaluations = cost_plots(read_runs(runs))
    coverage = calibration_plot(read_runs(runs))
    assert coverage is not None
    signs = {key.text.partition(":")[0]: key[:2] for key in seconds.legend}
    assert len(set(signs.values())) == 20
    assert [key[:2] for key in evaluations.legend] == list(signs.values())
    assert {key.text: key[:2] for key in coverage.legend} == {f"r{n}": signs[f"r{n}"] for n in range(2, 20, 3)}


def test_plots_are_drawn_in_the_colour_of_the_page_with_names_of_their_own(tmp_path: Path) -> None:
    calibration = {"levels": [0.5, 0.9], "coverage": [0.4, 0.8]}
    run = write_run(tmp_path, {"psnr": [1.0]}, calibration=calibration)
    coverage = calibration_plot(read_runs([run]))
    assert coverage is not None
    drawings = [plot.svg for plot in (*cost_plots(read_runs([run])), coverage)]
    assert len(drawings) == 3
    for drawing in drawings:
        ElementTree.fromstring(drawing)  # well-formed
        assert INK not in drawing
        assert "currentColor" in drawing
        names = re.findall(r'\bid="([^"]+)"', drawing)
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', drawing)) <= set(names)
    names = [name for drawing in drawings for name in re.findall(r'\bid="([^"]+)"', drawing)]
    assert len(names) == len(set(names))


def test_a_curve_of_calibration_goes_through_its_points(tmp_path: Path) -> None:
    run = write_run(tmp_path, {"psnr": [1.0]}, calibration={"levels": [0.0, 0.5, 1.0], "coverage": [0.0, 0.25, 1.0]})
    plot = calibration_plot(read_runs([run]))
    assert plot is not None
    paths = [[float(n) for n in re.findall(r"-?\d+\.?\d*", path)] for path in re.findall(r'd="(M[^"]+)"', plot.svg)]
    # In the drawing's coordinates, y downwards: half way to the right, a quarter of the way up.
    three = [path for path in paths if len(path) == 6 and path[0] < path[2] < path[4]]
    assert any(
        math.isclose(x1 - x0, x2 - x1, rel_tol=1e-3) and math.isclose(y0 - y1, (y0 - y2) / 4, rel_tol=1e-3)
        for x0, y0, x1, y1, x2, y2 in three
    )


def test_a_run_without_calibration_has_no_such_plot(tmp_path: Path) -> None:
    assert calibration_plot(read_runs([write_run(tmp_path, {"psnr": [1.0]})])) is None
