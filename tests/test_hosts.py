"""Two hosts, played by two processes that know of each other only by their environment and the run folder."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ports import free_ports
from small_run import ROOT, SMALL

from dis_lightning.runs.lock import FolderLock

Host = subprocess.Popen[str]
StartHosts = Callable[..., list[Host]]

HASTY = """
from dis_lightning.processes import meeting as processes
from dis_lightning.main import main
from dis_lightning.processes import companions
companions.SILENCE, companions.PAUSE, companions.SIGHT, processes.PATIENCE = 6.0, 4.0, 3.0, 1.0
main()
"""
"""The command line, with less patience."""

UP_TO_THE_END = """
import os, signal, subprocess, sys
from pathlib import Path
import torch.distributed as dist
from dis_lightning.processes.companions import Companions
folder, port, *rank = sys.argv[1:]
launched = [] if rank else [subprocess.Popen([*sys.orig_argv, "1"])]
dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=int(bool(rank)), world_size=2)
companions = Companions(Path(folder), dist.group.WORLD, first_here=not rank, launched=launched)
if rank:
    dist.gather_object = lambda *share, **options: os.kill(os.getpid(), signal.SIGKILL)
companions.gather("a share")
"""
"""Two processes that wait for each other; the second is killed where all have come."""

TWO_HOSTS = ["--trainer.num_nodes=2", "--trainer.devices=1", "--trainer.strategy=ddp"]


@pytest.fixture
def hosts() -> Iterator[StartHosts]:
    """Start the hosts of a run, each with arguments of its own."""
    started: list[Host] = []

    def popen(*arguments: list[str], first: int = 0) -> list[Host]:
        (port,) = free_ports(1)
        for rank, own in enumerate(arguments, first):
            known = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": str(rank), "LOCAL_RANK": "0"}
            process = subprocess.Popen(
                [sys.executable, "-c", HASTY, "predict", *TWO_HOSTS, *own],
                cwd=ROOT,
                env={**os.environ, **known, "WORLD_SIZE": "2"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            started.append(process)
        return started

    yield popen
    for process in started:
        process.kill()
        process.communicate()


def small(folder: Path, *more: str) -> list[str]:
    return [*SMALL, f"--writer.folder={folder}", *more]


def ends(process: Host) -> tuple[int, list[str]]:
    """How a process ends: its exit status, and the project's lines but for those that come on a busy machine alone."""
    output, _ = process.communicate(timeout=120)
    assert "Traceback" not in output, output
    said = [line for line in output.splitlines() if line.startswith("dis-lightning: ")]
    return process.returncode, [line for line in said if " waits for " not in line]


def wait_for_records(folder: Path, processes: list[Host], count: int) -> None:
    deadline = time.monotonic() + 120
    while len(list(folder.glob("records/*.json"))) < count:
        assert all(process.poll() is None for process in processes)
        assert time.monotonic() < deadline, "no record after two minutes"
        time.sleep(0.05)


def test_folders_that_hosts_do_not_share_are_noticed_before_anything_is_sampled(
    hosts: StartHosts, tmp_path: Path
) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    (first, said), (second, echoed) = map(ends, hosts(*map(small, folders)))
    assert (first, second, echoed) == (2, 2, [])
    (line,) = said
    assert f"process 2 of 2 on {socket.gethostname()} ({folders[1]})" in line
    assert "give one that all hosts share (--writer.folder)" in line
    assert [path for folder in folders for path in folder.glob("*/*")] == []


@pytest.mark.parametrize(
    ("lost", "long", "records"),
    [(0, ["--model.levels.steps=600", "--data.num_images=2000"], 2), (1, ["--model.levels.steps=3000"], 4)],
    ids=["the first on its way", "the second at the end"],
)
def test_a_host_that_is_lost_is_noticed_and_named(
    hosts: StartHosts, tmp_path: Path, lost: int, long: list[str], records: int
) -> None:
    processes = hosts(*[small(tmp_path, *long)] * 2)
    wait_for_records(tmp_path, processes, records)
    processes[lost].send_signal(signal.SIGSTOP)  # it neither ends nor answers, as a host whose cable was pulled
    start = time.monotonic()
    status, (line,) = ends(processes[1 - lost])
    assert status == 2
    assert f"rocess {lost + 1} of 2 on {socket.gethostname()} has given no sign of life" in line
    assert "Finished images are kept, and the same command goes on from them" in line
    assert time.monotonic() - start < 60


def test_a_process_that_is_lost_at_the_very_end_is_named(tmp_path: Path) -> None:
    words = ["-c", UP_TO_THE_END, str(tmp_path), str(free_ports(1)[0])]
    ended = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=100, check=False)
    line = f"LostProcessError: Process 2 of 2 on {socket.gethostname()} was ended by SIGKILL"
    assert line in ended.stderr.splitlines()[-1], ended.stderr


def test_hosts_that_were_stopped_together_go_on_together(hosts: StartHosts, tmp_path: Path) -> None:
    processes = hosts(*[small(tmp_path, "--model.levels.steps=500", "--data.num_images=20")] * 2)
    wait_for_records(tmp_path, processes, 2)
    for process in processes:
        process.send_signal(signal.SIGSTOP)  # as Ctrl-Z, or as Slurm suspends a job
    time.sleep(8)
    for process in processes:
        process.send_signal(signal.SIGCONT)
    assert [ends(process) for process in processes] == [(0, [])] * 2


def test_a_port_that_is_taken_is_named(hosts: StartHosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr("test_hosts.free_ports", lambda count: [port])
        status, (line,) = ends(hosts(small(tmp_path))[0])
    assert status == 2
    assert f"cannot meet at 127.0.0.1:{port}: another program has that port; set MASTER_PORT to another" in line


def test_a_process_that_waits_for_others_says_for_whom(hosts: StartHosts, tmp_path: Path) -> None:
    (process,) = hosts(small(tmp_path))
    assert process.stdout is not None
    line = next(line for line in process.stdout if line.startswith("dis-lightning: "))
    assert f"process 1 of 2, on {socket.gethostname()}, waits for the others at 127.0.0.1:" in line
    assert "set --trainer.devices=1 --trainer.num_nodes=1" in line


def test_what_all_have_met_is_said_once(hosts: StartHosts, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    lock = FolderLock(tmp_path)
    lock.acquire()
    (first, said), (second, echoed) = map(ends, hosts(*[small(tmp_path)] * 2))
    lock.release()
    assert (first, second, echoed) == (2, 2, [])
    assert [f"process {os.getpid()} on {socket.gethostname()}" in line for line in said] == [True]


def test_what_one_alone_has_met_it_says_itself(hosts: StartHosts, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for index in range(5):
        grey = np.full((8, 8, 3), 40 * index, dtype=np.uint8)
        Image.fromarray(grey).save(tmp_path / "images" / f"{index}.png")
    files = ("data/folder", "priors/rooms_gaussian", "operators/average_pool_x4", "solvers/dps")
    both = [f"--config=configs/{name}.yaml" for name in files]
    both += ["--data.num_images=5", "--data.batch_size=2", "--data.transform.size=8", "--trainer.accelerator=cpu"]
    both += ["--denoiser.size=8", "--denoiser.num_images=30", f"--writer.folder={tmp_path / 'run'}"]
    own = [[*both, f"--data.root={tmp_path / name}"] for name in ("images", "elsewhere")]
    (first, _), (second, said) = map(ends, hosts(*own))
    assert (first, second) == (2, 2)
    assert len(said) == 1
    assert said[0].startswith(f"dis-lightning: process 2 on {socket.gethostname()}: ")
    assert str(tmp_path / "elsewhere") in said[0]
    assert not (tmp_path / "run" / "samples").exists()
