"""Grey images all the way: a prior of one channel through prediction, evaluation and report."""

import json
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image, ImageSequence

from dis_lightning.callbacks import Trajectory, Writer
from dis_lightning.data import FolderData
from dis_lightning.levels import KarrasLevels
from dis_lightning.main import main
from dis_lightning.metrics import FID, KID, default_metrics
from dis_lightning.operators import AveragePool
from dis_lightning.priors import GaussianPrior
from dis_lightning.report import report
from dis_lightning.rooms.features import RoomsFeatures
from dis_lightning.runs import evaluate
from dis_lightning.solvers import DPS

SIDE, IMAGES, SAMPLES = 16, 4, 3


class GreyPrior(GaussianPrior):
    """Grey noise, as a prior that a command line can name."""

    def __init__(self) -> None:
        super().__init__(torch.zeros(1, SIDE, SIDE), 0.1 * torch.eye(SIDE**2))


def numbers(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        assert image.mode == "L"
        return np.array(image).astype(float)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(IMAGES):
        grey = np.random.default_rng(index).integers(64, 192, (SIDE, SIDE), dtype=np.uint8)
        Image.fromarray(grey).save(folder / f"{index}.png")
    return folder


def metrics(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return {key: value for key, value in summary.items() if key != "cost"}


def check(folder: Path, images: Path) -> None:
    """The folder holds grey pictures, and their numbers are right."""
    psnr, spread = [], []
    for index in range(IMAGES):
        truth = numbers(folder / "sources" / f"{index:05d}.png")
        assert np.array_equal(truth, numbers(images / f"{index}.png"))
        samples = [numbers(folder / "samples" / f"{index:05d}_{sample:02d}.png") for sample in range(SAMPLES)]
        psnr.append(np.mean([20 * np.log10(255 / np.sqrt(np.mean((s - truth) ** 2))) for s in samples]))
        spread.append(np.sqrt(np.var(samples, axis=0, ddof=1).mean()))
        measured = numbers(folder / "measurements" / f"{index:05d}.png")
        pooled = truth.reshape(SIDE // 4, 4, SIDE // 4, 4).mean(axis=(1, 3))
        assert abs(measured - pooled).max() < 10  # of which noise is 1.3
    assert metrics(folder)["metrics"]["psnr"]["mean"] == pytest.approx(np.mean(psnr), rel=1e-5)
    assert metrics(folder)["posterior"]["pixel_std"]["mean"] == pytest.approx(np.mean(spread), rel=1e-9)


def test_a_prior_of_one_channel_goes_all_the_way_in_python(images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    features = RoomsFeatures()
    sets = [FID(features), KID(features)]
    films = [Trajectory(every=2, images=1), Trajectory(every=2, images=1, film="mp4")]
    solver = DPS(AveragePool(4, noise_std=0.01), GreyPrior(), KarrasLevels(4), scale=0.1, num_samples=SAMPLES)
    trainer = lightning.Trainer(
        accelerator="cpu",
        callbacks=[*default_metrics(), *sets, *films, Writer(folder)],
        logger=TensorBoardLogger(tmp_path, name="board"),
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with pytest.warns(UserWarning, match="images"):  # few, for a distance of sets
        trainer.predict(solver, FolderData(images, num_images=None, channels=1), return_predictions=False)

    check(folder, images)
    with Image.open(folder / "trajectories" / "00000.gif") as film:
        assert [frame.size for frame in ImageSequence.Iterator(film)] == [(2 * SIDE, SIDE)] * 2
    before = metrics(folder)
    assert before["set"]["fid_rooms"]["mean"] is not None
    (folder / "metrics.json").unlink()
    with pytest.warns(UserWarning, match="images"):
        evaluate(folder, [*default_metrics(), FID(features), KID(features)], solver)
    assert metrics(folder) == before
    assert report([folder], folder / "report.html").exists()


@pytest.mark.usefixtures("in_project")
def test_a_prior_of_one_channel_goes_all_the_way_by_commands(images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = ["operators/average_pool_x4", "solvers/dps", "callbacks/trajectory"]
    data = ["--data=FolderData", f"--data.root={images}", "--data.num_images=null", "--data.channels=1"]
    main(
        [
            "predict",
            *[f"--config=configs/{name}.yaml" for name in arguments],
            *[*data, f"--denoiser={__name__}.GreyPrior", "--operator.noise_std=0.01", "--trainer.accelerator=cpu"],
            *["--model.levels.steps=4", f"--model.num_samples={SAMPLES}", f"--writer.folder={folder}"],
        ]
    )
    check(folder, images)
    before = metrics(folder)
    (folder / "metrics.json").unlink()
    main(["evaluate", str(folder), "--device=cpu"])
    assert metrics(folder) == before
    (folder / "report.html").unlink()
    main(["report", str(folder)])
    assert (folder / "report.html").exists()
