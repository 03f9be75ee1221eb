"""Films and loggers: what is shown is what was sampled."""

import csv
import json
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from PIL import Image, ImageSequence
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dis_lightning.callbacks import Fidelity, Trajectory, Writer
from dis_lightning.callbacks.folder import read_png
from dis_lightning.data import RoomsData
from dis_lightning.levels import KarrasLevels
from dis_lightning.operators import AveragePool
from dis_lightning.priors import GaussianPrior
from dis_lightning.solvers import DPS

QUIET = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


def run(folder: Path, *callbacks: lightning.Callback, logger: object = False) -> DPS:
    prior = GaussianPrior(torch.zeros(3, 8, 8), 0.25 * torch.eye(192))
    solver = DPS(AveragePool(4, noise_std=0.1), prior, KarrasLevels(7), scale=1.0, num_samples=2)
    everything = [Fidelity(), *callbacks, Writer(folder)]
    trainer = lightning.Trainer(accelerator="cpu", callbacks=everything, logger=logger, **QUIET)
    trainer.predict(solver, RoomsData(size=8, num_images=3, batch_size=2), return_predictions=False)
    return solver


def frames(file: Path) -> list[Image.Image]:
    with Image.open(file) as film:
        return [frame.convert("RGB") for frame in ImageSequence.Iterator(film)]


def test_a_film_has_every_third_step_and_ends_with_the_first_sample(tmp_path: Path) -> None:
    solver = run(tmp_path, Trajectory(every=3, images=3))
    assert sorted(file.name for file in tmp_path.glob("trajectories/*")) == [f"0000{i}.gif" for i in range(3)]
    for index in range(3):
        film = frames(tmp_path / "trajectories" / f"{index:05d}.gif")
        assert [frame.size for frame in film] == [(16, 8)] * 3  # steps 3, 6 and 7
        last = torch.from_numpy(np.array(film[-1])).permute(2, 0, 1)
        sample = read_png(tmp_path / "samples" / f"{index:05d}_00.png")
        assert (last[:, :, :8].int() - sample.int()).abs().float().mean() < 4  # a GIF has 256 colours
    assert solver.observers == []


def test_only_the_first_images_are_filmed_and_a_film_changes_nothing(tmp_path: Path) -> None:
    run(tmp_path / "filmed", Trajectory(images=1))
    run(tmp_path / "plain")
    assert [file.name for file in tmp_path.glob("filmed/trajectories/*")] == ["00000.gif"]
    one, other = (sorted((tmp_path / name).glob("samples/*.png")) for name in ("filmed", "plain"))
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in other]


@pytest.mark.parametrize("arguments", [{"every": 0}, {"images": 0}, {"milliseconds": 0}])
def test_wrong_arguments_are_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=">= 1"):
        Trajectory(**arguments)


def test_a_film_needs_a_run_folder() -> None:
    trainer = lightning.Trainer(accelerator="cpu", callbacks=[Trajectory()], logger=False, **QUIET)
    prior = GaussianPrior(torch.zeros(3, 8, 8), torch.eye(192))
    with pytest.raises(ValueError, match="add a Writer"):
        trainer.predict(DPS(AveragePool(4), prior, KarrasLevels(2), scale=1.0), RoomsData(size=8, num_images=1))


def test_every_logger_gets_the_numbers_once_and_those_that_can_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    loggers = [
        CSVLogger(tmp_path, name="csv"),
        TensorBoardLogger(tmp_path, name="board"),
        WandbLogger(save_dir=tmp_path, project="test", offline=True),
    ]
    run(tmp_path / "run", Trajectory(every=3, images=1), logger=loggers)
    expected = json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"]["psnr"]["mean"]

    with (tmp_path / "csv" / "version_0" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["metrics/psnr"]) for row in rows] == [expected]

    events = EventAccumulator(str(next(tmp_path.glob("board/version_0"))))
    events.Reload()
    assert [event.value for event in events.Scalars("metrics/psnr")] == pytest.approx([expected])
    assert set(events.Tags()["images"]) == {"grid", "trajectory/00000"}

    kept = {file.name.rsplit("_", 2)[0] for file in tmp_path.glob("wandb/offline-run-*/files/media/images/**/*.png")}
    assert kept == {"grid", "00000"}
