"""What all tests share: no network, and the smallest real run."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SMALL = [
    *("--config", "configs/data/rooms.yaml", "--config", "configs/priors/rooms_gaussian.yaml"),
    *("--config", "configs/operators/average_pool_x4.yaml", "--config", "configs/solvers/dps.yaml"),
    *("--data.size=8", "--denoiser.size=8", "--denoiser.num_images=30", "--model.levels.steps=5"),
    *("--model.num_samples=2", "--trainer.accelerator=cpu", "--data.num_images=5", "--data.batch_size=2"),
]
"""DPS on five rooms of 8 pixels in batches of two."""


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without it, each attempt to reach a hub takes half a minute to fail.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[str]]:
    """Start the command line as a user would, from the project's folder, with the small run's arguments and more."""

    def popen(folder: Path, *more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "dis_lightning", "predict", *SMALL, f"--writer.folder={folder}", *more]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    return popen
