"""A run scored again from its folder alone gives what it gave while it ran."""

import json
import shutil
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from small_run import ROOT, SMALL

from dis_lightning.callbacks import Writer
from dis_lightning.levels import KarrasLevels
from dis_lightning.main import main
from dis_lightning.metrics import PSNR, Calibration, EnergyScore, PixelStd
from dis_lightning.operators import AveragePool
from dis_lightning.priors import GaussianPrior
from dis_lightning.rooms import RoomsData
from dis_lightning.runs.evaluation import evaluate
from dis_lightning.solvers import DPS, Solver
from dis_lightning.types import Reconstruction

pytestmark = [
    pytest.mark.usefixtures("in_project"),
    pytest.mark.filterwarnings("ignore:.* images is "),
]

MORE = [
    *("--config=configs/callbacks/fid_rooms.yaml", "--config=configs/callbacks/diversity_rooms.yaml"),
    "--config=configs/callbacks/y_mse.yaml",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        main(["predict", *SMALL, *MORE, "--model.num_samples=3", f"--writer.folder={folder}"])
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished run."""
    return shutil.copytree(finished, tmp_path / "run")


def files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("metrics.json", "results.csv")}


def summary(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return content


def test_a_configuration_that_was_changed_is_not_shown_as_that_of_the_run(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("threads: 1", "threads: 2"))
    main(["report", str(run)])
    (run / "config.yaml").write_text(text.replace("scale: ", "scale: 1"))
    with pytest.raises(SystemExit, match="2"):
        main(["report", str(run)])
    assert "config.yaml is not as it was when the run was summed up" in capsys.readouterr().err
    with pytest.warns(UserWarning, match="is taken as it stands now"):
        main(["evaluate", str(run)])
    main(["report", str(run)])


def test_all_that_a_run_was_scored_with_comes_out_the_same(run: Path) -> None:
    before = files(run)
    for name in before:
        (run / name).unlink()
    main(["evaluate", str(run), "--device=cpu"])
    assert files(run) == before
    assert {"metrics", "set", "consistency", "posterior", "cost", "calibration"} <= summary(run).keys()


def test_another_metric_is_added_and_the_rest_stays(finished: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(finished, tmp_path / "bare")
    for name in ("metrics.json", "results.csv"):
        (bare / name).unlink()
    main(["evaluate", str(bare), "--config=configs/callbacks/y_mse.yaml", "--device=cpu"])
    assert summary(bare)["consistency"].keys() == {"y_mse"}
    main(["evaluate", str(bare), "--config=configs/callbacks/fid_rooms.yaml", "--device=cpu"])

    found, streamed = summary(bare), summary(finished)
    assert found["consistency"] == {"y_mse": streamed["consistency"]["y_mse"]}
    assert found["set"] == {name: streamed["set"][name] for name in ("fid_rooms", "kid_rooms")}
    assert found["definitions"] == {n: streamed["definitions"][n] for n in ("y_mse", "fid_rooms", "kid_rooms")}
    assert "y_mse" in (bare / "results.csv").read_text()


def test_a_metric_may_stand_alone_in_a_configuration_and_on_the_command_line(run: Path) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["trainer"]["callbacks"] = {"class_path": "dis_lightning.metrics.MeasurementMSE"}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    (run / "metrics.json").unlink()
    main(["evaluate", str(run), "--device=cpu"])
    found = summary(run)["consistency"]["y_mse"]
    main(["evaluate", str(run), "--trainer.callbacks=MeasurementMSE", "--device=cpu"])
    assert summary(run)["consistency"]["y_mse"] == found


def test_a_repeated_run_keeps_what_was_added_to_it(run: Path) -> None:
    before = files(run)
    main(["predict", *SMALL, "--model.num_samples=3", f"--writer.folder={run}"])  # without MORE
    assert files(run) == before


def test_a_repeated_run_that_computes_an_image_anew_drops_what_was_added_to_it(finished: Path, run: Path) -> None:
    (run / "records" / "00002.json").unlink()
    with pytest.warns(UserWarning, match=r"of which diversity_score, fid_rooms, .*, y_mse knew nothing"):
        main(["predict", *SMALL, "--model.num_samples=3", f"--writer.folder={run}"])
    after, before = summary(run), summary(finished)
    assert "fid_rooms" not in {**after["set"], **after["definitions"]}
    assert "y_mse" not in {**after["consistency"], **after["definitions"]}
    assert "y_mse" not in (run / "results.csv").read_text()
    assert after["metrics"] == before["metrics"]


def test_a_run_that_was_killed_is_scored_with_a_warning_and_stays_unfinished(
    finished: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("records/00003.json", "records/00004.json", "metrics.json", "results.csv", "report.html"):
        (run / name).unlink()
    with pytest.warns(UserWarning, match="only 3 of its 5 images are scored"):
        main(["evaluate", str(run), "--config=configs/callbacks/y_mse.yaml", "--device=cpu"])
    assert summary(run)["consistency"]["y_mse"]["images"] == 3
    assert "Report:" not in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["report", str(run)])
    assert "is not finished: 3 of its 5 images are there and scored" in capsys.readouterr().err
    assert not (run / "report.html").exists()

    main(["predict", *SMALL, *MORE, "--model.num_samples=3", f"--writer.folder={run}"])
    varying = {"cost": None, "results_sha256": None, "digest": None}  # seconds
    assert {**summary(run), **varying} == {**summary(finished), **varying}
    assert "Report:" in capsys.readouterr().out


def test_the_page_shows_what_was_added_and_its_path_is_printed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = run / "report.html"
    assert "PSNR aligned" not in page.read_text()
    main(["evaluate", str(run), "--config=configs/callbacks/aligned.yaml", "--device=cpu"])
    assert f"Report:   {page}" in capsys.readouterr().out
    assert "PSNR aligned" in page.read_text()


def test_callbacks_that_measure_nothing_are_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(run)
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", str(run), "--config=configs/callbacks/trajectory.yaml", MORE[2], "--device=cpu"])
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("dis-lightning: Trajectory is no metric")
    assert "configs/callbacks/y_mse.yaml" in message
    assert files(run) == before


def test_neither_the_data_nor_the_prior_nor_any_sampling_is_needed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files(run)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("dis_lightning.rooms.prior.rooms_gaussian", refuse)
    monkeypatch.setattr(RoomsData, "find", refuse)
    monkeypatch.setattr(DPS, "predict_step", refuse)
    monkeypatch.setattr(AveragePool, "measure", refuse)
    main(["evaluate", str(run), "--device=cpu"])
    assert files(run) == before


def test_what_was_measured_is_kept_as_it_was(run: Path) -> None:
    y = torch.from_numpy(np.load(run / "measurements" / "00002.npy"))
    source = torch.from_numpy(np.array(Image.open(run / "sources" / "00002.png"))).permute(2, 0, 1) / 127.5 - 1
    assert y.dtype == torch.float32
    residual = y - AveragePool(4)(source[None])[0]
    assert 0 < residual.abs().max() < 0.5  # the noise of the measurement, 0.1


def test_a_damaged_folder_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = run / "measurements" / "00003.npy"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(SystemExit):
        main(["evaluate", str(run)])
    assert "00003.npy is gone or damaged; give the command that made" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "expected"), [(["nowhere"], "give the folder of a run"), ([], "run")])
def test_a_folder_that_is_no_run_is_refused(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", *arguments])
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert expected in message
    assert "Traceback" not in message


@pytest.fixture
def by_hand(tmp_path: Path) -> DPS:
    """The solver of a run in `tmp_path` that was made from Python."""
    prior = GaussianPrior(torch.zeros(3, 8, 8), 0.25 * torch.eye(192))
    solver = DPS(AveragePool(4, noise_std=0.1), prior, KarrasLevels(4), scale=1.0, num_samples=2)
    predict(solver, tmp_path, 3)
    return solver


def predict(solver: DPS, folder: Path, num_images: int) -> None:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = lightning.Trainer(
        accelerator="cpu", enable_model_summary=False, callbacks=[PSNR(), PixelStd(), Writer(folder)], **quiet
    )
    data = RoomsData(size=8, num_images=num_images, batch_size=2)
    trainer.predict(solver, data, return_predictions=False)


def test_a_run_whose_operator_was_changed_behind_its_back_is_refused(by_hand: DPS, tmp_path: Path) -> None:
    before = files(tmp_path)
    by_hand.operator.noise_std = 0.5  # which no constructor was told of
    with pytest.raises(ValueError, match="another measurement was made before than is made now, though the run in"):
        predict(by_hand, tmp_path, 3)
    assert files(tmp_path) == before


def test_a_run_without_the_command_line_is_scored_with_its_solver(
    by_hand: DPS, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(tmp_path)
    for name in before:
        (tmp_path / name).unlink()
    evaluate(tmp_path, [PSNR(), PixelStd()], by_hand)
    assert files(tmp_path) == before
    with pytest.raises(SystemExit):
        main(["evaluate", str(tmp_path)])
    assert "was not made by the command line" in capsys.readouterr().err


def test_scoring_that_is_interrupted_leaves_what_was_there(by_hand: DPS, tmp_path: Path) -> None:
    class Interrupted(Calibration):
        def reduce(self, rows: dict[int, dict[str, torch.Tensor]]) -> dict[str, dict[str, Any]]:
            raise KeyboardInterrupt

    before = files(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        evaluate(tmp_path, [EnergyScore(), Interrupted()], by_hand)
    assert files(tmp_path) == before


def test_a_run_that_grows_while_it_is_scored_keeps_what_it_has_grown_by(by_hand: DPS, tmp_path: Path) -> None:
    class Slow(EnergyScore):
        def score(self, reconstruction: Reconstruction, solver: Solver) -> None:
            super().score(reconstruction, solver)
            if len(list(tmp_path.glob("records/*"))) == 3:
                predict(by_hand, tmp_path, 5)

    with pytest.raises(ValueError, match="has got other images while it was scored; give the command again"):
        evaluate(tmp_path, [Slow()], by_hand)
    assert summary(tmp_path)["images"] == 5
