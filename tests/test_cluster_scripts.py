"""The scripts of `configs/cluster`, with Slurm's commands played by small ones."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from small_run import ROOT, SMALL

from dis_lightning.main import main

SCRIPTS = sorted((ROOT / "configs" / "cluster").iterdir())

SAYS = '#!/bin/bash\nprintf "%s\\n" "$(basename "$0")" "$@" >> "$SAID"\n'
"""A command that writes down by what it was called."""

WAITS = "trap 'kill $!; exit 138' USR1\ntouch \"$SAID.begun\"\nsleep 60 & wait\n"
"""What a run does on a signal."""

SLURM = {
    "SLURM_NTASKS_PER_NODE": "4",
    "SLURM_NNODES": "2",
    "SLURM_JOB_ID": "17",
    "SLURM_ARRAY_TASK_ID": "1",
    "SLURM_ARRAY_TASK_COUNT": "2",
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Commands that write down by what they were called, into the file `said`."""
    (tmp_path / "bin").mkdir()
    for name in ("srun", "dis-lightning", "torchrun", "scontrol"):
        _command(tmp_path / "bin" / name, SAYS)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    return {**os.environ, **SLURM, "PATH": path, "SAID": str(tmp_path / "said")}


def _command(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


def arguments(script: Path, folder: Path) -> list[str]:
    """What a script is called with."""
    if script.name == "array_of_configs.sbatch":
        (folder / "runs.txt").write_text("--model.scale=1.0\n--config configs/quickstart.yaml --model.scale=0.5\n")
        return [str(folder / "runs.txt"), str(folder / "out")]
    first = {"array_of_shards.sbatch": [str(folder / "out")], "torchrun_two_hosts.sh": ["1", "first", "4"]}
    return [*first.get(script.name, []), "--config=configs/quickstart.yaml", "--model.scale=0.5"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_scripts_hand_over_what_they_are_given_by_options_that_exist(
    script: Path, tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert not subprocess.run(["bash", "-n", script], capture_output=True, check=True).stderr
    subprocess.run(["bash", script, *arguments(script, tmp_path)], env=environment, cwd=ROOT, check=True)
    said = (tmp_path / "said").read_text().splitlines()
    given = said[said.index("predict") + 1 :]
    assert "--model.scale=0.5" in given
    assert any("configs/quickstart.yaml" in word for word in given)
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    known = capsys.readouterr().out
    own = {word.split("=")[0] for word in given if word.startswith(("--trainer.", "--writer."))}
    assert own
    assert not {option for option in own if not re.search(rf"{re.escape(option)}\b", known)}
    if "SBATCH" in script.read_text():
        for line in ("--requeue", "--signal=B:USR1@120", "--time="):
            assert f"#SBATCH {line}" in script.read_text()


@pytest.mark.parametrize("script", [s for s in SCRIPTS if s.suffix == ".sbatch"], ids=lambda script: script.name)
@pytest.mark.parametrize("finishes", [False, True])
def test_a_job_whose_time_is_over_ends_its_run_and_is_queued_again(
    script: Path, finishes: bool, tmp_path: Path, environment: dict[str, str]
) -> None:
    for name in ("srun", "dis-lightning"):
        _command(tmp_path / "bin" / name, SAYS + (WAITS.replace("138", "0") if finishes else WAITS))
    job = subprocess.Popen(["bash", script, *arguments(script, tmp_path)], env=environment, cwd=ROOT)
    deadline = time.monotonic() + 60
    while not (tmp_path / "said.begun").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    job.send_signal(signal.SIGUSR1)
    assert job.wait(60) == 0
    said = (tmp_path / "said").read_text().splitlines()
    assert (said[-3:] == ["scontrol", "requeue", "17"]) is not finishes


@pytest.mark.usefixtures("in_project")
def test_an_array_of_shards_is_merged_as_its_script_says(tmp_path: Path, environment: dict[str, str]) -> None:
    script = ROOT / "configs" / "cluster" / "array_of_shards.sbatch"
    for part in range(2):
        (tmp_path / "said").unlink(missing_ok=True)
        own = {**environment, "SLURM_ARRAY_TASK_ID": str(part)}
        subprocess.run(["bash", script, str(tmp_path / "out"), *SMALL], env=own, check=True)
        name, *command = (tmp_path / "said").read_text().splitlines()
        assert name == "dis-lightning"
        main(command)
    main(["merge", *map(str, (tmp_path / "out").glob("shard_*")), f"--output={tmp_path / 'out' / 'merged'}"])
    assert len(list((tmp_path / "out" / "merged" / "records").iterdir())) == 5
