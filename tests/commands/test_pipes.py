"""Who reads the output may stop reading, as `head` does; its disk may be full, its terminal closed."""

import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import termios
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


def test_a_terminal_that_is_closed_ends_a_run_as_its_signal_does(tmp_path: Path) -> None:
    def lead() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which a suite in the background ignores

    near, far = pty.openpty()
    long = ["--model.levels.steps=4000", "--data.num_images=200"]
    command = [sys.executable, "-m", "dis_lightning", "predict", *SMALL, *long]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdin=far, stdout=far, stderr=far, preexec_fn=lead
    )
    os.close(far)
    shown = b""
    while not re.search(rb"[1-9]\d*/4000", shown):  # steps of a batch that is under way
        shown = shown[-1000:] + os.read(near, 4096)
    os.close(near)
    assert process.wait(60) == 128 + signal.SIGHUP
