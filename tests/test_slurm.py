"""The scripts of `configs/cluster` in a real Slurm; `--no-cluster` leaves them out, for it needs root."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm import Slurm, slurm
from small_run import ROOT, SMALL

from dis_lightning.main import main

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("in_project")]

SCRIPTS = ROOT / "configs" / "cluster"
TWO_TASKS = ["--ntasks-per-node=2", "--cpus-per-task=1"]
ON_CPUS = ["--trainer.accelerator=cpu"]


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Slurm]:
    (tmp_path / "slurm").mkdir()
    with slurm(tmp_path / "slurm", ROOT) as found:
        yield found


def images(folder: Path) -> dict[str, bytes]:
    """Every picture and the metrics of a run."""
    found = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.glob("*/*.png")}
    assert found
    return found


def test_a_job_of_two_tasks_makes_the_bytes_of_one_process(queue: Slurm, tmp_path: Path) -> None:
    log, run = tmp_path / "log", tmp_path / "run"
    job = queue.submit(SCRIPTS / "one_node.sbatch", log, TWO_TASKS, [*SMALL, *ON_CPUS, f"--writer.folder={run}"])
    queue.wait(job, "COMPLETED", "FAILED")
    assert queue.states(job) == {"COMPLETED"}, log.read_text()
    main(["predict", *SMALL, f"--writer.folder={tmp_path / 'alone'}"])
    assert images(run) == images(tmp_path / "alone")


def test_tasks_that_are_not_the_devices_of_the_run_are_told(queue: Slurm, tmp_path: Path) -> None:
    log = tmp_path / "log"
    wrong = ["--trainer.devices=1", f"--writer.folder={tmp_path / 'run'}"]
    job = queue.submit(SCRIPTS / "one_node.sbatch", log, TWO_TASKS, [*SMALL, *ON_CPUS, *wrong])
    queue.wait(job, "COMPLETED", "FAILED")
    assert queue.status(job) == 2
    told = {line for line in log.read_text().splitlines() if line.startswith("dis-lightning: ")}
    assert len(told) == 1, log.read_text()
    assert "2" in told.pop()
    assert not (tmp_path / "run" / "samples").exists()


def test_an_array_of_shards_is_merged_into_the_run_of_all(queue: Slurm, tmp_path: Path) -> None:
    log, out = tmp_path / "log-%a", tmp_path / "out"
    job = queue.submit(
        SCRIPTS / "array_of_shards.sbatch", log, ["--array=0-1", "--cpus-per-task=1"], [str(out), *SMALL]
    )
    queue.wait(job, "COMPLETED", "FAILED")
    assert queue.states(job) == {"COMPLETED"}, [file.read_text() for file in tmp_path.glob("log-*")]
    main(["merge", *map(str, sorted(out.glob("shard_*"))), f"--output={out / 'merged'}"])
    main(["predict", *SMALL, f"--writer.folder={tmp_path / 'alone'}"])
    assert images(out / "merged") == images(tmp_path / "alone")


def test_a_job_whose_time_is_over_is_queued_again_and_goes_on(queue: Slurm, tmp_path: Path) -> None:
    log, run = tmp_path / "log", tmp_path / "run"
    many = [*SMALL, "--data.num_images=40", "--model.levels.steps=60"]
    job = queue.submit(SCRIPTS / "one_node.sbatch", log, TWO_TASKS, [*many, *ON_CPUS, f"--writer.folder={run}"])
    deadline = time.monotonic() + 60
    while len(first := {file: file.stat().st_mtime_ns for file in run.glob("records/*.json")}) < 4:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    queue.signal(job, "USR1")
    queue.wait(job, "PENDING", "COMPLETED", "FAILED", seconds=60)
    assert queue.states(job) == {"PENDING"}, log.read_text()
    assert len(list(run.glob("records/*.json"))) < 40
    queue.wait(job, "COMPLETED", "FAILED")
    assert queue.states(job) == {"COMPLETED"}, log.read_text()
    assert len(list(run.glob("records/*.json"))) == 40
    assert {file: file.stat().st_mtime_ns for file in first} == first  # computed once
    main(["predict", *many, f"--writer.folder={tmp_path / 'alone'}"])
    assert images(run) == images(tmp_path / "alone")
