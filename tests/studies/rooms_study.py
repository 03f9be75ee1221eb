"""The smallest study of solvers on rooms, as a file."""

from pathlib import Path

import yaml

from studies.rooms_rows import Configuration

LEVELS = {"class_path": "KarrasLevels", "init_args": {"steps": 2}}
GAUSSIAN = {"class_path": "dis_lightning.rooms.rooms_gaussian", "init_args": {"size": 16, "num_images": 30}}
POOL = {"class_path": "AveragePool", "init_args": {"factor": 4, "noise_std": 0.1}}


def solver(name: str, tuned: tuple[str, ...] = (), **arguments: object) -> Configuration:
    model = {"class_path": name, "init_args": {"levels": LEVELS, **arguments}}
    return {"denoiser": GAUSSIAN, "model": model} | ({"tuned": list(tuned)} if tuned else {})


def write_study(folder: Path, **changes: object) -> Path:
    """A study of two solvers on two rooms of 16 pixels, tuned on three others."""
    study = {
        "data": {"class_path": "RoomsData", "init_args": {"split": "test", "size": 16, "num_images": 2}},
        "tuning": {"data": {"split": "tune", "num_images": 3}, "metric": "metrics/psnr", "better": "higher"},
        "problems": {"pool": POOL},
        "solvers": {"prior": solver("Unguided"), "MPGD": solver("MPGD", ("scale",), scale=2.0)},
    }
    file = folder / "small.yaml"
    file.write_text(yaml.safe_dump(study | changes, sort_keys=False))
    return file
