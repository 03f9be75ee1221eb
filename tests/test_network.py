"""Two hosts with networks of their own, in network namespaces; `--no-cluster` leaves them out, for they need root."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_run import ROOT, SMALL

pytestmark = pytest.mark.cluster

HASTY = """
import sys
from dis_lightning.main import main
from dis_lightning.processes import companions
companions.SILENCE = 8.0
main(sys.argv[1:])
"""
"""The command line, with less patience."""


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"no network namespaces here ({done.stderr.strip()}); be root, or give --no-cluster"


@pytest.fixture
def networks() -> Iterator[list[str]]:
    """Two namespaces joined by a cable, whose ends are called as they are."""
    names = [f"dis{os.getpid()}{end}" for end in "ab"]
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", names[0], "netns", names[0], "type", "veth", "peer", "name", names[1], "netns", names[1])
        for number, name in enumerate(names, 1):
            ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", name)
            for device in ("lo", name):
                ip("-n", name, "link", "set", device, "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def start(networks: list[str], folder: Path, *more: str) -> list[subprocess.Popen[str]]:
    """Start a run of both hosts, named `host0` and `host1`."""
    begun = []
    for rank, name in enumerate(networks):
        known = {"MASTER_ADDR": "10.77.0.1", "MASTER_PORT": "29511", "NODE_RANK": str(rank), "LOCAL_RANK": "0"}
        named = ["unshare", "--uts", "sh", "-c", f'hostname host{rank}; exec "$@"', "sh"]
        command = [sys.executable, "-c", HASTY, "predict", *SMALL, f"--writer.folder={folder}", *more]
        hosts = ["--trainer.num_nodes=2", "--trainer.devices=1", "--trainer.strategy=ddp"]
        begun.append(
            subprocess.Popen(
                ["ip", "netns", "exec", name, *named, *command, *hosts],
                cwd=ROOT,
                env={**os.environ, **known, "WORLD_SIZE": "2", "GLOO_SOCKET_IFNAME": name},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    return begun


def test_two_hosts_do_one_run(networks: list[str], tmp_path: Path) -> None:
    both = start(networks, tmp_path)
    told = [host.communicate(timeout=120)[0] for host in both]
    assert [host.returncode for host in both] == [0, 0], told
    assert len(list((tmp_path / "records").iterdir())) == 5


def test_a_host_that_vanishes_from_the_network_is_named_and_the_other_ends(networks: list[str], tmp_path: Path) -> None:
    both = start(networks, tmp_path, "--model.levels.steps=100", "--data.num_images=2000")
    try:
        deadline = time.monotonic() + 100
        while len(list(tmp_path.glob("records/*.json"))) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        ip("-n", networks[1], "link", "set", networks[1], "down")  # so that no goodbye comes through
        both[1].kill()
        told, _ = both[0].communicate(timeout=60)
        assert both[0].returncode == 2
        lines = [line for line in told.splitlines() if line.startswith("dis-lightning: ") and "waits for" not in line]
        assert len(lines) == 1, told
        assert "on host1 has given no sign of life" in lines[0]
    finally:
        for host in both:
            host.kill()
            host.communicate()
