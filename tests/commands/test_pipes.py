"""Who reads the output may stop reading, as `head` does; a disk that it is written to may be full."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_run import ROOT, SMALL


@pytest.mark.parametrize(
    ("arguments", "buffered"),
    [
        (["--help"], True),
        (["--help"], False),
        (["predict", "--operator.help"], True),
        (["predict", *SMALL, "--print_config"], False),
        (["predict", *SMALL], True),
        (["predict", *SMALL], False),
    ],
    ids=["help", "help, unbuffered", "key", "configuration, unbuffered", "run", "run, unbuffered"],
)
def test_a_closed_pipe_is_no_error(arguments: list[str], buffered: bool, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHONUNBUFFERED")}
    environment |= {"PYTHONPATH": str(ROOT)} | ({} if buffered else {"PYTHONUNBUFFERED": "1"})
    process = subprocess.Popen(
        [sys.executable, "-m", "dis_lightning", *arguments],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    told = process.stderr.read()
    process.stderr.close()
    process.wait()
    assert told == ""
    assert process.returncode in (1, 128 + 13)


@pytest.mark.parametrize("arguments", [["--help"], ["predict", *SMALL]], ids=["help", "run"])
def test_output_on_a_full_disk_is_told_of_in_a_line(arguments: list[str], tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "dis_lightning", *arguments]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            command, cwd=tmp_path, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ended.returncode == 2
    assert ended.stderr.startswith("dis-lightning: the disk is full that a log, or what this command says, ")
    assert len(ended.stderr.splitlines()) == 1
