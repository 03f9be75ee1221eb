"""Whole runs through the real command line: killed, resumed, split over processes, ended by signals."""

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import psutil
import pytest
import torch
from small_run import ROOT, SMALL, alone
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dis_lightning.callbacks import Writer
from dis_lightning.levels import KarrasLevels
from dis_lightning.main import main
from dis_lightning.operators import AveragePool
from dis_lightning.priors import GaussianPrior
from dis_lightning.rooms import RoomsData
from dis_lightning.solvers import Unguided

Start = Callable[..., subprocess.Popen[str]]

TWO_PROCESSES = ("--config", "configs/trainer/two_processes.yaml")
READER = ("--data.num_workers=1",)
LONG = ("--model.levels.steps=500", "--data.num_images=2000")  # minutes anywhere: time enough to be interrupted
LONG_ENOUGH = ("--model.levels.steps=500", "--data.num_images=20")  # where it is gone on with to the end
FEATURES = ("--config", "configs/callbacks/fid_rooms.yaml")


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def images(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.glob("*/*.png")}


def metrics(folder: Path) -> dict[str, Any]:
    summary = json.loads((folder / "metrics.json").read_text())
    return {key: value for key, value in summary.items() if key not in ("cost", "results_sha256", "digest")}


def results(folder: Path) -> list[dict[str, str]]:
    costs = ("seconds", "seconds_per_sample", "memory", "memory_per_image", "memory_per_sample")
    with (folder / "results.csv").open() as file:
        return [{key: value for key, value in row.items() if key not in costs} for row in csv.DictReader(file)]


def assert_same(folder: Path, other: Path) -> None:
    assert images(folder) == images(other)
    assert metrics(folder) == metrics(other)
    assert results(folder) == results(other)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small run of one process, with FID and KID; to be looked at, not changed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Against 5 images")
        return alone(tmp_path_factory.mktemp("one"), *FEATURES)


def test_two_processes_give_the_bytes_and_metrics_of_one(start: Start, one: Path, tmp_path: Path) -> None:
    shown = finish(start(tmp_path, *FEATURES, *TWO_PROCESSES))

    counts = [line.partition(",")[0] for line in shown.splitlines() if line.startswith("images ")]
    assert counts == [f"images of process 1 of 2: {done}/3" for done in (0, 2, 3)]  # batches 1 and 3 of 2, 2 and 1
    assert {"fid_rooms", "kid_rooms", "coverage"} < set(metrics(one)["set"])
    assert len(images(one)) == 5 * (2 + 1 + 1)  # samples, source, measurement
    assert_same(one, tmp_path)


def test_the_iou_of_the_set_in_two_processes_is_that_of_one(start: Start, tmp_path: Path) -> None:
    names = ("operators/rooms_segmentation", "callbacks/y_rooms_segmentation")
    files = [f"--config=configs/{name}.yaml" for name in names]
    alone(tmp_path / "one", *files)
    finish(start(tmp_path / "two", *files, *TWO_PROCESSES))
    assert 0 < metrics(tmp_path / "one")["set"]["y_miou_of_set"]["mean"] < 1
    assert_same(tmp_path / "one", tmp_path / "two")


def test_what_was_added_stays_until_one_of_two_processes_computes_an_image_anew(
    start: Start, one: Path, tmp_path: Path
) -> None:
    shutil.copytree(one, tmp_path, dirs_exist_ok=True)
    before = metrics(tmp_path), results(tmp_path)

    finish(start(tmp_path, *TWO_PROCESSES))
    assert (metrics(tmp_path), results(tmp_path)) == before
    assert "fid_rooms" in before[0]["set"]

    (tmp_path / "records" / "00002.json").unlink()  # of the second process, which is not the one that sums up
    finish(start(tmp_path, *TWO_PROCESSES))
    assert "fid_rooms" not in metrics(tmp_path)["set"]
    assert metrics(tmp_path)["metrics"] == before[0]["metrics"]


def test_all_loggers_together_get_every_number_once(start: Start, tmp_path: Path) -> None:
    files = []
    for name in ("csv", "tensorboard", "wandb_offline"):
        text = (ROOT / "configs" / "loggers" / f"{name}.yaml").read_text()
        (tmp_path / f"{name}.yaml").write_text(text.replace("save_dir: outputs", f"save_dir: {tmp_path}"))
        files.append(f"--config={tmp_path / name}.yaml")
    finish(start(tmp_path / "run", *files, *TWO_PROCESSES))
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


def left_over(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that have not ended after some seconds; in a container nobody may have asked for what has."""
    _, alive = psutil.wait_procs(processes, timeout=10)
    return [process for process in alive if psutil.pid_exists(process.pid) and process.status() != psutil.STATUS_ZOMBIE]


def test_a_killed_run_goes_on_where_it_stopped_and_ends_as_an_unbroken_one(start: Start, tmp_path: Path) -> None:
    killed = start(tmp_path / "killed", *LONG_ENOUGH)
    wait_for_records(tmp_path / "killed", killed, 2)
    killed.kill()
    killed.communicate()
    kept = {file.name: file.stat().st_mtime_ns for file in tmp_path.glob("killed/records/*.json")}
    assert 2 <= len(kept) < 20

    finish(start(tmp_path / "killed", *LONG_ENOUGH))
    alone(tmp_path / "unbroken", *LONG_ENOUGH)

    assert_same(tmp_path / "killed", tmp_path / "unbroken")
    untouched = {
        name: (tmp_path / "killed" / "records" / name).stat().st_mtime_ns for name in ("00000.json", "00001.json")
    }
    assert untouched.items() <= kept.items()


@pytest.mark.parametrize(
    ("number", "more"),
    [
        *((number, READER) for number in (signal.SIGTERM, signal.SIGINT)),
        *((number, TWO_PROCESSES) for number in (signal.SIGTERM, signal.SIGINT)),
    ],
    ids=lambda value: value.name if isinstance(value, signal.Signals) else value[-1],
)
def test_a_signal_ends_the_run_within_seconds_says_how_to_go_on_and_leaves_no_orphan(
    start: Start, tmp_path: Path, number: signal.Signals, more: tuple[str, ...]
) -> None:
    process = start(tmp_path, *LONG, *more)
    wait_for_records(tmp_path, process, 2)
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]

    if more == READER:
        os.killpg(process.pid, number)  # its reader gets it too, as from a terminal
    else:
        process.send_signal(number)
    output, _ = process.communicate(timeout=30)

    assert process.returncode == 128 + number
    how = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
    line = f"dis-lightning: {how}; the same command goes on from the images that are finished"
    assert [said for said in output.splitlines() if said.startswith("dis-lightning: ")] == [line]
    assert "Traceback" not in output
    assert left_over(family) == []


def test_a_signal_that_the_run_was_told_to_ignore_does_not_end_it(start: Start, tmp_path: Path) -> None:
    process = start(tmp_path, *LONG_ENOUGH, ignored=(signal.SIGHUP,))  # as nohup does
    wait_for_records(tmp_path, process, 2)
    process.send_signal(signal.SIGHUP)
    assert "ended by" not in finish(process)


@pytest.mark.parametrize(
    ("number", "how"),
    [
        (signal.SIGTERM, "has ended before its time"),
        (signal.SIGKILL, "was ended by SIGKILL, as a system does that has"),
    ],
)
def test_a_process_that_is_ended_alone_ends_the_others(
    number: signal.Signals, how: str, start: Start, tmp_path: Path
) -> None:
    process = start(tmp_path, *LONG, *TWO_PROCESSES)
    wait_for_records(tmp_path, process, 2)
    (child,) = psutil.Process(process.pid).children()
    child.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert output.count(f"dis-lightning: Process 2 of 2 on {socket.gethostname()} {how}") == 1
    assert "zombies" not in output
    assert "the same command goes on" in output


def test_processes_end_when_the_one_that_started_them_is_killed(start: Start, tmp_path: Path) -> None:
    process = start(tmp_path, *LONG, *TWO_PROCESSES)
    wait_for_records(tmp_path, process, 2)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children

    process.kill()
    process.wait()

    assert left_over(children) == []


def test_what_all_processes_have_met_is_said_once(start: Start, tmp_path: Path) -> None:
    process = start(tmp_path, *TWO_PROCESSES, "--data.batch_size=8")
    output, _ = process.communicate(timeout=120)

    assert process.returncode != 0
    assert output.count("dis-lightning: Every process needs a batch") == 1
    assert "--data.batch_size=4" in output
    assert "Traceback" not in output


TASK = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_NNODES": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
"""What Slurm tells a task of `srun --ntasks=2`."""


@pytest.mark.usefixtures("in_project")
@pytest.mark.parametrize(
    ("known", "arguments", "message"),
    [
        ({"SLURM_NTASKS_PER_NODE": "2"}, [], "--trainer.strategy=ddp --trainer.devices=2 --trainer.num_nodes=1"),
        (
            {"SLURM_NTASKS_PER_NODE": "1", "SLURM_NNODES": "2", "SLURM_PROCID": "1", "SLURM_NODEID": "1"},
            ["--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.num_nodes=2"],
            "--trainer.strategy=ddp --trainer.devices=1 --trainer.num_nodes=2",
        ),
        ({}, ["--trainer.devices=2", "--trainer.strategy=ddp"], "ask for so many on each node (--ntasks-per-node=2)"),
    ],
    ids=["tasks that know nothing of each other", "more processes than tasks", "no number for each node"],
)
def test_tasks_of_slurm_that_are_not_the_processes_of_the_run_are_refused(
    known: dict[str, str],
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {**TASK, **known}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main(["predict", *SMALL, f"--writer.folder={tmp_path / 'run'}", *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_trainer_in_a_task_of_slurm_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**TASK, "SLURM_NTASKS_PER_NODE": "2"}.items():
        monkeypatch.setenv(name, value)
    prior = GaussianPrior(torch.zeros(3, 8, 8), torch.eye(192))
    solver = Unguided(AveragePool(4), prior, KarrasLevels(2))
    trainer = lightning.Trainer(accelerator="cpu", callbacks=[Writer(tmp_path)], logger=False)
    with pytest.raises(ValueError, match="Slurm starts 2 tasks, but the run is for 1 process"):
        trainer.predict(solver, RoomsData(size=8, num_images=2))
