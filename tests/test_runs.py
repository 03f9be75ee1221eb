"""Whole runs through the real command line: killed, resumed, split over processes, ended by signals."""

import csv
import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from small_run import ROOT
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

Start = Callable[..., subprocess.Popen[str]]

TWO_PROCESSES = ("--config", "configs/trainer/two_processes.yaml")
LONG = ("--model.levels.steps=4000",)  # about 5 s a batch: time enough to be interrupted


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def images(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.glob("*/*.png")}


def metrics(folder: Path) -> dict[str, Any]:
    summary = json.loads((folder / "metrics.json").read_text())
    return {key: value for key, value in summary.items() if key not in ("cost", "results_sha256")}


def results(folder: Path) -> list[dict[str, str]]:
    costs = ("seconds", "seconds_per_sample", "memory", "memory_per_image", "memory_per_sample")
    with (folder / "results.csv").open() as file:
        return [{key: value for key, value in row.items() if key not in costs} for row in csv.DictReader(file)]


def assert_same(folder: Path, other: Path) -> None:
    assert images(folder) == images(other)
    assert metrics(folder) == metrics(other)
    assert results(folder) == results(other)


def test_two_processes_give_the_bytes_and_metrics_of_one(start: Start, tmp_path: Path) -> None:
    features = ("--config", "configs/callbacks/fid_rooms.yaml")
    finish(start(tmp_path / "one", *features))
    shown = finish(start(tmp_path / "two", *features, *TWO_PROCESSES))

    assert "images of process 1 of 2" in shown
    assert {"fid_rooms", "kid_rooms", "coverage"} < set(metrics(tmp_path / "one")["set"])
    assert len(images(tmp_path / "one")) == 5 * (2 + 1 + 1)  # samples, source, measurement
    assert_same(tmp_path / "one", tmp_path / "two")


def test_the_iou_of_the_set_in_two_processes_is_that_of_one(start: Start, tmp_path: Path) -> None:
    names = ("operators/rooms_segmentation", "callbacks/y_rooms_segmentation")
    files = [f"--config=configs/{name}.yaml" for name in names]
    finish(start(tmp_path / "one", *files))
    finish(start(tmp_path / "two", *files, *TWO_PROCESSES))
    assert 0 < metrics(tmp_path / "one")["set"]["y_miou_of_set"]["mean"] < 1
    assert_same(tmp_path / "one", tmp_path / "two")


def test_what_was_added_stays_until_one_of_two_processes_computes_an_image_anew(start: Start, tmp_path: Path) -> None:
    finish(start(tmp_path, "--config", "configs/callbacks/fid_rooms.yaml"))
    before = metrics(tmp_path), results(tmp_path)

    finish(start(tmp_path, *TWO_PROCESSES))
    assert (metrics(tmp_path), results(tmp_path)) == before
    assert "fid_rooms" in before[0]["set"]

    (tmp_path / "records" / "00002.json").unlink()  # of the second process, which is not the one that sums up
    finish(start(tmp_path, *TWO_PROCESSES))
    assert "fid_rooms" not in metrics(tmp_path)["set"]
    assert metrics(tmp_path)["metrics"] == before[0]["metrics"]


@pytest.mark.parametrize("more", [(), TWO_PROCESSES], ids=["one process", "two processes"])
def test_all_loggers_together_get_every_number_once(start: Start, tmp_path: Path, more: tuple[str, ...]) -> None:
    files = []
    for name in ("csv", "tensorboard", "wandb_offline"):
        text = (ROOT / "configs" / "loggers" / f"{name}.yaml").read_text()
        (tmp_path / f"{name}.yaml").write_text(text.replace("save_dir: outputs", f"save_dir: {tmp_path}"))
        files.append(f"--config={tmp_path / name}.yaml")
    finish(start(tmp_path / "run", *files, *more))
    expected = metrics(tmp_path / "run")["metrics"]["psnr"]["mean"]

    (table,) = tmp_path.glob("csv/*/metrics.csv")
    with table.open() as file:
        assert [float(row["metrics/psnr"]) for row in csv.DictReader(file)] == [expected]
    (board,) = tmp_path.glob("tensorboard/*")
    events = EventAccumulator(str(board))
    events.Reload()
    assert [event.value for event in events.Scalars("metrics/psnr")] == pytest.approx([expected])
    assert [len(events.Images("grid"))] == [1]
    (kept,) = tmp_path.glob("wandb/offline-run-*")
    assert len(list(kept.glob("*.wandb"))) == 1
    assert [file.name.partition("_")[0] for file in kept.glob("files/media/images/*.png")] == ["grid"]


def wait_for_records(folder: Path, process: subprocess.Popen[str], count: int) -> None:
    deadline = time.monotonic() + 120
    while len(list(folder.glob("records/*.json"))) < count:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "no record after two minutes"
        time.sleep(0.05)


def test_a_killed_run_goes_on_where_it_stopped_and_ends_as_an_unbroken_one(start: Start, tmp_path: Path) -> None:
    killed = start(tmp_path / "killed", *LONG)
    wait_for_records(tmp_path / "killed", killed, 2)
    killed.kill()
    killed.communicate()
    kept = {file.name: file.stat().st_mtime_ns for file in tmp_path.glob("killed/records/*.json")}
    assert 2 <= len(kept) < 5

    finish(start(tmp_path / "killed", *LONG))
    finish(start(tmp_path / "unbroken", *LONG))

    assert_same(tmp_path / "killed", tmp_path / "unbroken")
    untouched = {
        name: (tmp_path / "killed" / "records" / name).stat().st_mtime_ns for name in ("00000.json", "00001.json")
    }
    assert untouched.items() <= kept.items()


@pytest.mark.parametrize("more", [(), TWO_PROCESSES], ids=["one process", "two processes"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_within_seconds_and_leaves_no_orphan(
    start: Start, tmp_path: Path, more: tuple[str, ...], number: signal.Signals
) -> None:
    process = start(tmp_path, *LONG, *more)
    wait_for_records(tmp_path, process, 2)
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]

    process.send_signal(number)
    output, _ = process.communicate(timeout=30)

    assert process.returncode not in (0, None)
    if number == signal.SIGINT:
        assert output.count("dis-lightning: interrupted; the same command goes on") == 1
        assert "Traceback" not in output
    _, alive = psutil.wait_procs(family, timeout=5)
    assert alive == []


def test_processes_end_when_the_one_that_started_them_is_killed(start: Start, tmp_path: Path) -> None:
    process = start(tmp_path, *LONG, *TWO_PROCESSES)
    wait_for_records(tmp_path, process, 2)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children

    process.kill()
    process.wait()

    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


def test_fewer_batches_than_processes_is_an_error_on_every_process(start: Start, tmp_path: Path) -> None:
    process = start(tmp_path, *TWO_PROCESSES, "--data.batch_size=8")
    output, _ = process.communicate(timeout=120)

    assert process.returncode != 0
    assert output.count("dis-lightning: Every process needs a batch") == 2
    assert "--data.batch_size=4" in output
    assert "Traceback" not in output
