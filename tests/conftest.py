"""What all tests share: no network, and the smallest real run."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

# The cores are shared by the processes of the suite. Set before anything imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Each attempt to reach a hub takes half a minute to fail otherwise. Read when its library is imported.
os.environ["HF_HUB_OFFLINE"] = "1"
# Nor is anything found that somebody has downloaded, or asked for elsewhere.
os.environ["HF_HUB_CACHE"] = str(Path(__file__).parents[1] / ".pytest_cache" / "no_hub")
os.environ["no_proxy"] = "*"
os.environ.pop("HF_ENDPOINT", None)
# What tests start is on the CPU wherever they are, and says what they expect of it alone.
os.environ["PYTHONWARNINGS"] = "ignore:GPU available but not used"

import pytest
from ports import free_ports
from small_run import ROOT, SMALL


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let solvers, operators, priors and kernels be tried on another device, and images be built."""
    parser.addoption("--device", default="cpu", help="where tests/conformance computes, such as cuda")
    parser.addoption("--container", metavar="BASE", help="also build the image on this base, and run it (needs docker)")
    parser.addoption("--no-cluster", action="store_true", help="leave out Slurm and hosts in networks (need root)")


def pytest_configure(config: pytest.Config) -> None:
    """Say so to the modules of the suite, which all its processes import; ask a GPU for what `predict` asks it for."""
    device = config.getoption("--device")
    os.environ["DIS_LIGHTNING_TEST_DEVICE"] = device
    if device == "cpu":
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.allow_tf32 = False  # the tests' tolerances are those of float32


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Count as deselected what builds an image, unless a base is given, and Slurm and hosts in networks if asked to."""
    left_out = {"container": config.getoption("--container") is None, "cluster": config.getoption("--no-cluster")}
    names = [name for name, out in left_out.items() if out]
    if deselected := [item for item in items if any(map(item.get_closest_marker, names))]:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in deselected]


@pytest.fixture(autouse=True)
def finished() -> Iterator[None]:
    """End what a logger of Weights & Biases has begun: one process has one run at a time."""
    yield
    if wandb := sys.modules.get("wandb"):
        wandb.finish()


@pytest.fixture
def in_project(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in the project's folder, where its configurations are."""
    monkeypatch.chdir(ROOT)


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command line as a user would, from the project's folder, with the small run's arguments and more."""
    started = []

    def popen(folder: Path, *more: str, ignored: tuple[signal.Signals, ...] = ()) -> subprocess.Popen[str]:
        def take_signals() -> None:
            # A suite that runs in the background was told to ignore these, and its children would be too.
            for number in (signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

        command = [sys.executable, "-m", "dis_lightning", "predict", *SMALL, f"--writer.folder={folder}", *more]
        # The number of threads is the command line's own business.
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        # Lightning would take one that a system may give to somebody else before it is used.
        environment["MASTER_PORT"] = str(free_ports(1)[0])
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=take_signals,
            process_group=0,
        )
        started.append(process)
        return process

    yield popen
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
