"""The tables of a report: which is best, what a paper reports, and the same as Markdown and LaTeX."""

import math
from pathlib import Path

import pytest
from runs_by_hand import write_run

from dis_lightning.report.columns import Direction, describe
from dis_lightning.report.exports import to_latex, to_markdown
from dis_lightning.report.tables import Column, Table, best, make_tables
from dis_lightning.runs.finished import comparability, read_runs

REPORTED = {"source": "Smith 1999, table 1", "psnr": 22.3, "fid": 89.2}


def table(folder: Path, *runs: dict[str, list[float]], worlds: tuple[int, ...] = (0, 0, 0)) -> Table:
    paths = [write_run(folder / f"run_{n}", values, world=worlds[n]) for n, values in enumerate(runs)]
    return make_tables(read_runs(paths))[0]


def marks(made: Table) -> dict[str, list[bool]]:
    return {column.name: [row.cells[n].best for row in made.rows] for n, column in enumerate(made.columns)}


def test_the_best_is_the_largest_or_the_smallest_as_the_metric_has_it(tmp_path: Path) -> None:
    made = table(
        tmp_path,
        {"psnr": [20.0, 24.0], "lpips_vgg": [0.3, 0.3], "std": [0.1, 0.1]},
        {"psnr": [25.0, 20.0], "lpips_vgg": [0.2, 0.3], "std": [0.2, 0.2]},
        {"psnr": [21.0, 21.0], "lpips_vgg": [0.5, 0.1], "std": [0.3, 0.3]},
    )
    assert marks(made) == {
        "psnr": [False, True, False],
        "lpips_vgg": [False, True, False],
        "std": [False, False, False],
    }


@pytest.mark.parametrize(
    ("values", "direction", "expected"),
    [
        ([1.0, 3.0, 3.0], Direction.HIGHER, [False, True, True]),
        ([1.0, 3.0, 3.0], Direction.LOWER, [True, False, False]),
        ([1.0, None, 3.0], Direction.LOWER, [True, False, False]),
        ([2.0, 2.0, None], Direction.HIGHER, [False, False, False]),
        ([math.nan, 1.0, 2.0], Direction.LOWER, [False, True, False]),
        ([2.0], Direction.HIGHER, [False]),
        ([1.0, 2.0], Direction.NEITHER, [False, False]),
        ([1.0, math.inf], Direction.HIGHER, [False, True]),
    ],
)
def test_equal_values_share_the_mark_and_no_mark_stands_alone(
    values: list[float | None], direction: Direction, expected: list[bool]
) -> None:
    assert best(values, direction) == expected


def test_means_over_different_images_are_not_compared(tmp_path: Path) -> None:
    made = table(tmp_path, {"psnr": [20.0, 24.0]}, {"psnr": [25.0, 20.0]}, worlds=(0, 1))
    assert marks(made) == {"psnr": [False, False]}
    caution = comparability(read_runs([tmp_path / "run_0", tmp_path / "run_1"]))
    assert caution is not None
    for text in (to_markdown([made], caution), to_latex([made], caution)):
        assert "These runs do not have the same images, so their means cannot be compared" in text
        assert "is bold" not in text


def defined(folder: Path, *definitions: dict[str, object]) -> list[Table]:
    """Tables of runs that agree in PSNR and define FID as given."""
    values = {"psnr": [20.0, 24.0], "fid": [9.0, 9.0]}
    psnr = {"psnr": {"what": "PSNR", "by": "hand"}}
    runs = [
        write_run(folder / str(n), {k: [v[0] + n] * 2 for k, v in values.items()}, definitions={**psnr, "fid": fid})
        for n, fid in enumerate(definitions)
    ]
    return make_tables(read_runs(runs))[:1]


def test_values_of_different_definitions_are_not_compared_and_the_table_says_so(tmp_path: Path) -> None:
    own, folder = {"what": "FID", "reference": "own_sources", "n": 4}, {"what": "FID", "reference": "a folder", "n": 4}
    tables = defined(tmp_path, own, folder)
    assert marks(tables[0]) == {"psnr": [False, True], "fid": [False, False]}
    note = "FID: no best is marked, for the runs' definitions differ in reference."
    assert tables[0].notes == [note]
    assert to_markdown(tables).splitlines()[6:8] == ["", note]
    assert to_latex(tables).splitlines()[-1] == rf"\par\noindent{{\footnotesize {note}}}"


def test_definitions_that_differ_in_the_number_of_samples_alone_are_the_same(tmp_path: Path) -> None:
    (made,) = defined(tmp_path, {"what": "FID", "n": 4}, {"what": "FID", "n": 3})
    assert marks(made) == {"psnr": [False, True], "fid": [True, False]}
    assert made.notes == []


def test_a_run_without_the_metric_has_no_say_in_its_definition(tmp_path: Path) -> None:
    definitions = {"fid": {"what": "FID"}}
    runs = [write_run(tmp_path / str(n), {"fid": [n, n]}, definitions=definitions) for n in (1.0, 2.0)]
    bare = write_run(tmp_path / "bare", {"psnr": [1.0, 1.0]})
    made = make_tables(read_runs([*runs, bare]))[0]
    assert marks(made)["fid"] == [True, False, False]


@pytest.mark.parametrize(
    ("name", "title", "direction"),
    [
        ("psnr", "PSNR (dB)", Direction.HIGHER),
        ("psnr_best_of_4", "PSNR best of 4 (dB)", Direction.HIGHER),
        ("fid_patches", "FID patches", Direction.LOWER),
        ("split_r_hat", "split R-hat", Direction.LOWER),
        ("psnrx", "psnrx", Direction.NEITHER),
    ],
)
def test_a_metric_is_known_by_the_beginning_of_its_name(name: str, title: str, direction: Direction) -> None:
    column = Column(name, describe(name, []))
    assert (column.title, column.better) == (title, direction)


def test_a_column_shows_two_digits_of_its_largest_error_and_no_more_than_four_of_a_mean(tmp_path: Path) -> None:
    # Standard errors: 2 and 1 for PSNR, 0.015 for SSIM; tiny ones for the rest.
    made = table(
        tmp_path,
        {"psnr": [20.0, 24.0], "ssim": [0.8, 0.83], "memory": [1.234561, 1.234563]},
        {"psnr": [21.25, 23.25], "ssim": [0.7, 0.7], "memory": [1.2, 1.2]},
    )
    first, second = ([(cell.value, cell.error) for cell in row.cells] for row in made.rows)
    assert first == [("22.0", "2.0"), ("0.815", "0.015"), ("1.235", "")]
    assert second == [("22.2", "1.0"), ("0.700", ""), ("1.200", "")]


@pytest.mark.parametrize(
    ("other", "images", "best"),
    [
        ((1, 1), 1, [False, False]),  # another image is left out
        ((0, 1), 1, [True, False]),
        (None, 2, [True, False]),  # of each image some samples are left
    ],
)
def test_values_of_the_set_that_lack_other_samples_are_not_compared_and_these_are_spoken_of(
    other: tuple[int, int] | None, images: int, best: list[bool], tmp_path: Path
) -> None:
    folders = [
        write_run(
            tmp_path / name,
            {"psnr": [20.0, 24.0]},
            set={"fid": {"mean": mean, "standard_error": None, "images": images, "infinite": 0}},
            samples=3,
            diverged=lost,
        )
        for name, mean, lost in (("a", 1.0, (0, 1)), ("b", 2.0, other))
    ]
    fidelity, together, *_ = make_tables(read_runs(folders))
    assert marks(together) == {"fid": best}
    assert fidelity.notes[0] == "a: of 6 samples 1 diverged, and is in no value."


def test_a_small_mean_keeps_its_digits_beside_a_large_one(tmp_path: Path) -> None:
    made = table(
        tmp_path,
        {"seconds": [0.40, 0.44], "ssim": [0.0003, 0.0005]},
        {"seconds": [497.0, 527.0], "ssim": [0.2, 0.8]},
    )
    first, second = ([(cell.value, cell.error) for cell in row.cells] for row in made.rows)
    assert first == [("0.42", "0.02"), ("0.00040", "0.00010")]
    assert second == [("512", "15"), ("0.50", "0.30")]


def test_infinite_values_and_missing_ones_are_said(tmp_path: Path) -> None:
    made = table(tmp_path, {"psnr": [20.0, math.inf], "ssim": [math.nan, math.nan]})
    psnr, ssim = made.rows[0].cells
    assert (psnr.value, psnr.infinite) == ("20", 1)
    assert (ssim.mean, ssim.value) == (None, "-")
    for text in (to_markdown([made]), to_latex([made])):
        assert "20, 1 infinite, left out" in text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([20.0, 20.0, 30.0, 30.0], [math.nan, math.nan, 29.0, 29.0]),  # all samples of two images diverged
        ([20.0, 21.0, 30.0, math.nan], [20.0, 21.0, math.nan, 40.0]),  # other ones
        ([1.1, 1.2, 1.1, 1.2], [1.1, 1.1, math.inf, 1.1]),
    ],
)
def test_means_of_which_other_images_are_left_out_are_not_compared(
    one: list[float], other: list[float], tmp_path: Path
) -> None:
    made = table(tmp_path, {"psnr": one, "ssim": [0.1] * 4}, {"psnr": other, "ssim": [0.2] * 4})
    assert marks(made) == {"psnr": [False, False], "ssim": [False, True]}
    (note,) = made.notes
    assert note.startswith("PSNR (dB): no best is marked, for the means are over different images")


def test_what_a_paper_reports_stands_beside_the_value_or_in_a_column_of_its_own(tmp_path: Path) -> None:
    reported = {"writer": {"reported": REPORTED}}
    runs = [
        write_run(tmp_path / "cell", {"psnr": [20.0, 21.0]}, configuration=reported),
        write_run(tmp_path / "mine", {"psnr": [22.0, 23.0]}),
    ]
    made = make_tables(read_runs(runs))[0]
    assert [column.name for column in made.columns] == ["psnr", "fid"]
    assert [[cell.reported for cell in row.cells] for row in made.rows] == [["22.3", "89.2"], ["", ""]]
    assert [[cell.mean for cell in row.cells] for row in made.rows] == [[20.5, None], [22.5, None]]


def test_a_run_without_any_metric_of_a_section_is_left_out_of_its_table(tmp_path: Path) -> None:
    chains = {"moved": {"mean": 0.5, "standard_error": None, "images": 1, "infinite": 0}}
    runs = [write_run(tmp_path / "a", {"psnr": [20.0]}), write_run(tmp_path / "b", {"psnr": [21.0]}, chains=chains)]
    tables = {made.title: [row.label for row in made.rows] for made in make_tables(read_runs(runs))}
    assert tables["Markov chains"] == ["b"]
    assert tables["Fidelity to the clean image"] == ["a", "b"]


def test_a_metric_that_is_measured_elsewhere_is_not_shown_twice(tmp_path: Path) -> None:
    whole = {"fid": {"mean": 90.0, "standard_error": None, "images": 1, "infinite": 0}}
    run = write_run(tmp_path, {"psnr": [20.0]}, configuration={"writer": {"reported": REPORTED}}, set=whole)
    metrics, together, cost = make_tables(read_runs([run]))
    assert [column.name for column in metrics.columns] == ["psnr"]
    assert [column.name for column in cost.columns] == ["seconds", "evaluations"]
    assert (together.title, together.rows[0].cells[0].reported) == ("All images together", "89.2")


@pytest.fixture
def known(tmp_path: Path) -> list[Table]:
    reported = {"writer": {"reported": REPORTED}}
    runs = [
        write_run(tmp_path / "dps_100%", {"psnr": [20.0, 24.0], "fid": [9.0, 9.0]}, configuration=reported),
        write_run(tmp_path / "a|b", {"psnr": [25.0, 20.0], "fid": [8.0, 8.0]}),
    ]
    return make_tables(read_runs(runs))[:1]


def test_markdown(known: list[Table]) -> None:
    assert to_markdown(known).splitlines()[:6] == [
        "## Fidelity to the clean image",
        "",
        "| run | PSNR (dB) ↑ | FID ↓ |",
        "| --- | ---: | ---: |",
        r"| dps\_100% | 22.0 ± 2.0 (22.3) | 9 (89.2) |",
        r"| a\|b | **22.5** ± 2.5 | **8** |",
    ]


def test_latex(known: list[Table]) -> None:
    assert to_latex(known).splitlines()[2:] == [
        "% Fidelity to the clean image",
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r" & PSNR (dB) $\uparrow$ & FID $\downarrow$ \\",
        r"\midrule",
        r"dps\_100\% & 22.0 $\pm$ 2.0 (22.3) & 9 (89.2) \\",
        r"a|b & \textbf{22.5} $\pm$ 2.5 & \textbf{8} \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
