"""What a report takes for a finished run, and what it says of anything else."""

import json
from pathlib import Path

import pytest
from runs_by_hand import write_run

from dis_lightning.main import main
from dis_lightning.runs.finished import differences, read_runs, same_images


def fails(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["report", *map(str, args)])
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("dis-lightning: ")
    assert "Traceback" not in message
    return message


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = fails(capsys, tmp_path / "none")
    assert str(tmp_path / "none") in message
    assert "--writer.folder" in message


def test_a_folder_that_is_no_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "samples").mkdir()
    assert "is not the folder of a run" in fails(capsys, tmp_path)


def test_a_run_without_its_summary_is_not_finished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (write_run(tmp_path, {"psnr": [1.0, 2.0, 3.0]}) / "metrics.json").unlink()
    message = fails(capsys, tmp_path)
    assert "3 images have a record" in message
    assert "Give its command again" in message


def test_a_run_of_fewer_images_than_its_configuration_asks_for_is_not_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"data": {"class_path": "dis_lightning.rooms.RoomsData", "init_args": {"num_images": 3}}}
    write_run(tmp_path, {"psnr": [1.0, 2.0]}, configuration=data)
    assert "2 of its 3 images are there and scored" in fails(capsys, tmp_path)
    write_run(tmp_path, {"psnr": [1.0, 2.0, 3.0]}, configuration=data)
    main(["report", str(tmp_path)])


@pytest.mark.parametrize("gone", ["records/00001.json", "samples/00001_01.png", "measurements/00000.png"])
def test_a_run_that_lacks_a_file_is_not_finished(gone: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (write_run(tmp_path, {"psnr": [1.0, 2.0]}) / gone).unlink()
    message = fails(capsys, tmp_path)
    assert f"{gone} is gone or damaged; give the command that made" in message
    assert not (tmp_path / "report.html").exists()


def test_a_run_is_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "a", {"psnr": [1.0]})
    assert "named twice" in fails(capsys, tmp_path / "a", tmp_path / "b" / ".." / "a")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(["--output=report.pdf"], "report.html"), (["--max_images=0"], "max_images >= 1")],
)
def test_a_wrong_argument_is_named(
    arguments: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in fails(capsys, write_run(tmp_path, {"psnr": [1.0]}), *arguments)


def test_a_page_goes_into_the_folder_of_its_run_or_of_its_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(write_run(tmp_path / name, {"psnr": [1.0]})) for name in "ab"]
    main(["report", *runs[:1]])
    main(["report", *runs])
    pages = [Path(line.removeprefix("Report:").strip()) for line in capsys.readouterr().out.splitlines()]
    assert pages == [tmp_path / "a" / "report.html", tmp_path / "report.html"]
    assert all(page.with_suffix(suffix).exists() for page in pages for suffix in (".html", ".md", ".tex"))


@pytest.mark.parametrize("name", ["report.html", "report.md"])
@pytest.mark.parametrize("place", ["", "a"])
def test_a_file_of_ones_own_is_not_taken_for_a_page(
    name: str, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "a", {"psnr": [1.0]})
    own = tmp_path / place / name
    own.write_text("mine")
    if own == run / "report.md":  # the table of the run, whose page somebody has removed
        main(["report", str(run)])
        return
    output = [] if place else [f"--output={own.with_suffix('.html')}"]
    assert f"{own} is there already and of no report" in fails(capsys, run, *output)
    assert own.read_text() == "mine"


def test_runs_are_called_by_the_shortest_ends_that_differ(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("blur/dps", "blur/lgd", "pool/dps")]
    for path in paths:
        write_run(path, {"psnr": [1.0]})
    assert [run.label for run in read_runs(paths[:2])] == ["dps", "lgd"]
    assert [run.label for run in read_runs(paths)] == ["blur/dps", "blur/lgd", "pool/dps"]


def test_only_keys_that_differ_and_matter_are_differences(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / name, {"psnr": [1.0]}, configuration={"threads": threads, "trainer": {"devices": threads}})
        for name, threads in (("a", 1), ("b", 2))
    ]
    assert differences(read_runs(runs)) == {"threads": ["1", "2"]}


def test_images_are_the_same_where_the_files_are(tmp_path: Path) -> None:
    for name, world, count in (("a", 0, 2), ("b", 0, 2), ("other", 1, 2), ("fewer", 0, 1)):
        write_run(tmp_path / name, {"psnr": [1.0] * count}, world=world)
    assert same_images(read_runs([tmp_path / "a", tmp_path / "b"]))
    assert not same_images(read_runs([tmp_path / "a", tmp_path / "other"]))
    assert not same_images(read_runs([tmp_path / "a", tmp_path / "fewer"]))


def test_a_run_of_a_plain_trainer_has_no_class_to_show(tmp_path: Path) -> None:
    write_run(tmp_path, {"psnr": [1.0]})
    (tmp_path / "config.yaml").write_text("solver: ['DPS(', ')']\ntensors: 'abc'\n")
    (run,) = read_runs([tmp_path])
    assert (run.solver, run.operator, run.reported) == ("", "", {})


def test_a_summary_may_hold_parts_that_are_no_means(tmp_path: Path) -> None:
    calibration = {"levels": [0.5, 0.9], "coverage": [0.4, 0.8]}
    write_run(tmp_path, {"psnr": [1.0]}, calibration=calibration, definitions={"psnr": {"by": "hand"}})
    (run,) = read_runs([tmp_path])
    assert list(run.sections) == ["metrics", "cost"]
    assert json.loads((tmp_path / "metrics.json").read_text())["calibration"] == calibration
