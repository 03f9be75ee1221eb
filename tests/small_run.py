"""The smallest real run, as arguments of the command line."""

from contextlib import chdir
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

SMALL = [
    *("--config", "configs/data/rooms.yaml", "--config", "configs/priors/rooms_gaussian.yaml"),
    *("--config", "configs/operators/average_pool_x4.yaml", "--config", "configs/solvers/dps.yaml"),
    *("--data.size=8", "--denoiser.size=8", "--denoiser.num_images=30", "--model.levels.steps=5"),
    *("--model.num_samples=2", "--trainer.accelerator=cpu", "--data.num_images=5", "--data.batch_size=2"),
]
"""DPS on five rooms of 8 pixels in batches of two."""


def alone(folder: Path, *more: str) -> Path:
    """The small run by this process, in a folder, which is given back."""
    from dis_lightning.main import main  # late, for conftest.py says first how many threads there are

    with chdir(ROOT):
        main(["predict", *SMALL, *more, f"--writer.folder={folder}"])
    return folder


def timeless(content: Any) -> Any:
    """Without what is measured of time and memory, and what follows from that."""
    if isinstance(content, dict):
        measured = ("seconds", "memory", "digest", "results_sha256")
        return {key: timeless(value) for key, value in content.items() if not key.startswith(measured)}
    return content
