"""The scripts of `configs/cluster` on a real Slurm; `--no-cluster` leaves them out, for they need root and Slurm."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from slurm import Slurm, running_slurm
from small_run import ROOT, SMALL, alone, timeless

pytestmark = pytest.mark.cluster

SCRIPTS = ROOT / "configs" / "cluster"

TWO_TASKS = ["--ntasks-per-node=2", "--gpus-per-node=2", "--cpus-per-task=1"]
"""What a user says of a node."""

LONG = ["--model.levels.steps=500", "--data.num_images=40", "--data.batch_size=1"]
"""A run that lasts long enough to be warned on its way."""


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    with running_slurm() as slurm:
        yield slurm


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small run by one process."""
    folder = alone(tmp_path_factory.mktemp("whole"))
    assert len(list(folder.glob("records/*.json"))) == 5
    return folder


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that is interrupted, by one process and unbroken."""
    return alone(tmp_path_factory.mktemp("long"), *LONG)


def results(folder: Path) -> dict[str, Any]:
    """Bytes of the images, and what the ledger and the metrics say but for times."""
    files = [*folder.glob("records/*.json"), folder / "metrics.json"]
    known: dict[str, Any] = {
        str(file.relative_to(folder)): json.dumps(timeless(json.loads(file.read_text()))) for file in files
    }
    images = [file for file in folder.rglob("*") if file.suffix in (".png", ".npy")]
    return known | {str(file.relative_to(folder)): file.read_bytes() for file in images}


@pytest.mark.parametrize("script", ["one_node.sbatch", "several_nodes.sbatch"])
def test_a_job_is_the_run_of_one_process(script: str, slurm: Slurm, whole: Path, tmp_path: Path) -> None:
    tasks = TWO_TASKS if script == "one_node.sbatch" else ["--ntasks-per-node=1", "--gpus-per-node=1"]
    said, run = tmp_path / "said", tmp_path / "run"
    job = slurm.submit(said, *tasks, str(SCRIPTS / script), *SMALL, f"--writer.folder={run}")
    assert slurm.ends(job, said) == ("COMPLETED", 0), said.read_text()
    assert results(run) == results(whole)


def test_an_array_of_shards_merges_to_the_whole_run(slurm: Slurm, whole: Path, tmp_path: Path) -> None:
    said, script = tmp_path / "said", SCRIPTS / "array_of_shards.sbatch"
    shards = slurm.submit(said, "--array=0-1", "--cpus-per-task=1", str(script), str(tmp_path), *SMALL)
    after = f"dis-lightning merge {tmp_path}/shard_* --output {tmp_path}/merged"
    merge = slurm.submit(tmp_path / "merging", f"--dependency=afterok:{shards}", "--wrap", after)
    assert slurm.ends(merge, tmp_path / "merging") == ("COMPLETED", 0), said.read_text()
    assert results(tmp_path / "merged") == results(whole)


def test_an_array_of_configurations_is_several_runs(slurm: Slurm, whole: Path, tmp_path: Path) -> None:
    said, script = tmp_path / "said", SCRIPTS / "array_of_configs.sbatch"
    lines = [" ".join(SMALL), " ".join([*SMALL, "--model.scale=0.5"])]
    (tmp_path / "runs.txt").write_text("\n".join(lines) + "\n")
    words = [str(tmp_path / "runs.txt"), str(tmp_path)]
    array = slurm.submit(said, "--array=0-1", "--cpus-per-task=1", str(script), *words)
    for task in range(2):
        assert slurm.ends(f"{array}_{task}", said) == ("COMPLETED", 0), said.read_text()
    assert results(tmp_path / "run_0") == results(whole)
    assert results(tmp_path / "run_1") == results(alone(tmp_path / "half", "--model.scale=0.5"))


@pytest.mark.parametrize("script", ["one_node.sbatch", "array_of_shards.sbatch"])
def test_a_job_whose_time_is_over_is_queued_again_and_goes_on(
    script: str, slurm: Slurm, long: Path, tmp_path: Path
) -> None:
    said, runs = tmp_path / "said", tmp_path / "runs"
    if script == "one_node.sbatch":
        words, run = [*TWO_TASKS, str(SCRIPTS / script), f"--writer.folder={runs}"], runs
    else:
        words, run = ["--array=0", "--cpus-per-task=1", str(SCRIPTS / script), str(runs)], runs / "shard_0"
    job = slurm.submit(said, *words, *SMALL, *LONG)
    wait_for(lambda: len(list(run.glob("records/*.json"))) >= 2, said)
    slurm("scancel", "--batch", "--signal=USR1", job)  # as --signal=B:USR1@120 has it done
    wait_for(lambda: slurm.job(job).get("Restarts") == "1", said)
    before = {file: file.stat().st_mtime_ns for file in run.glob("records/*.json")}
    assert 2 <= len(before) < 40
    assert slurm.ends(job, said) == ("COMPLETED", 0), said.read_text()
    assert "ended by SIGUSR1; the same command goes on" in said.read_text()
    assert {file: file.stat().st_mtime_ns for file in before} == before  # what was finished is not done again
    assert results(run) == results(long)


def test_wrong_counts_are_refused_in_one_line(slurm: Slurm, tmp_path: Path) -> None:
    said, script = tmp_path / "said", SCRIPTS / "one_node.sbatch"
    words = [*SMALL, f"--writer.folder={tmp_path / 'run'}", "--trainer.devices=1"]
    job = slurm.submit(said, *TWO_TASKS, str(script), *words)
    assert slurm.ends(job, said) == ("FAILED", 2), said.read_text()
    (line,) = [line for line in said.read_text().splitlines() if line.startswith("dis-lightning: ")]
    assert "Slurm starts 2 tasks, but the run is for 1 process" in line
    assert not list(tmp_path.glob("run/*/*"))


def test_a_machine_without_slurm_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pytest.fail.Exception, match=r"sbatch not installed.*apt-get install.*--no-cluster"):
        running_slurm().__enter__()


def wait_for(reached: Callable[[], bool], said: Path) -> None:
    deadline = time.monotonic() + 300
    while not reached():
        assert time.monotonic() < deadline, said.read_text() if said.exists() else "it has said nothing"
        time.sleep(0.1)
