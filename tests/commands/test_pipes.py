"""Who reads the output may stop reading, as `head` does: the command ends without a word."""

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
