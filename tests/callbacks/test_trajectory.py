"""Films and loggers: what is shown is what was sampled."""

import csv
import io
import json
from fractions import Fraction
from pathlib import Path

import av
import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from PIL import Image, ImageSequence
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dis_lightning.callbacks import Trajectory, Writer, trajectory
from dis_lightning.images import quantise
from dis_lightning.levels import KarrasLevels
from dis_lightning.metrics import PSNR
from dis_lightning.operators import AveragePool
from dis_lightning.priors import GaussianPrior
from dis_lightning.rooms import RoomsData
from dis_lightning.runs.folder import read_png
from dis_lightning.solvers import DPS
from dis_lightning.types import State

QUIET = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


def run(folder: Path, *callbacks: lightning.Callback, logger: object = False) -> DPS:
    prior = GaussianPrior(torch.zeros(3, 8, 8), 0.25 * torch.eye(192))
    solver = DPS(AveragePool(4, noise_std=0.1), prior, KarrasLevels(7), scale=1.0, num_samples=2)
    everything = [PSNR(), *callbacks, Writer(folder)]
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


class Watch(lightning.Callback):
    """Keep what the first image of each batch looks like after every step: the moving image and the estimate."""

    def __init__(self) -> None:
        self.seen: list[tuple[np.ndarray, np.ndarray]] = []

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        assert isinstance(pl_module, DPS)
        pl_module.observers.append(self.look)

    def look(self, state: State) -> None:
        pair = [quantise(images[0]).permute(1, 2, 0).numpy() for images in (state.x_t, state.x_0)]
        self.seen.append((pair[0], pair[1]))


def test_the_left_side_is_the_moving_image_and_the_right_side_the_estimate(tmp_path: Path) -> None:
    watch = Watch()
    run(tmp_path, watch, Trajectory(images=1))
    film = [np.array(frame).astype(int) for frame in frames(tmp_path / "trajectories" / "00000.gif")]
    for frame, (moving, estimate) in zip(film[:4], watch.seen[:4], strict=True):  # in the end both are the sample
        assert abs(frame[:, :8] - moving).mean() < 8  # a GIF has 256 colours
        assert abs(frame[:, 8:] - estimate).mean() < 8
        assert abs(moving.astype(int) - estimate).mean() > 16


def decoded(file: Path) -> tuple[list[Fraction], list[np.ndarray]]:
    """When each picture of an MP4 appears and, last, when the film ends, in seconds; and the pictures, 8 bit."""
    with av.open(file) as container:
        (stream,) = container.streams
        codec = stream.codec_context
        assert (codec.name, codec.pix_fmt, codec.colorspace) == ("h264", "yuv420p", 1)  # 1: BT.709
        pictures = list(container.decode(video=0))
        times = [picture.pts * picture.time_base for picture in pictures]
        times.append(stream.duration * stream.time_base)
    return times, [picture.to_ndarray(format="rgb24") for picture in pictures]


@pytest.mark.parametrize("milliseconds", [1, 70, 6553])
def test_an_mp4_shows_each_frame_for_its_time_and_the_last_for_ten(milliseconds: int, tmp_path: Path) -> None:
    run(tmp_path, Trajectory(every=3, images=1, milliseconds=milliseconds, film="mp4"))
    assert [file.name for file in tmp_path.glob("trajectories/*")] == ["00000.mp4"]
    times, pictures = decoded(tmp_path / "trajectories" / "00000.mp4")
    assert times == [Fraction(milliseconds * frame, 1000) for frame in range(13)]  # steps 3 and 6, and 7 ten times
    assert not np.array_equal(pictures[0], pictures[1])
    last = pictures[2].astype(int)
    assert all(abs(picture - last).mean() < 1 for picture in pictures[3:])


def test_an_mp4_ends_with_the_first_sample_each_pixel_a_square_of_the_same_size(tmp_path: Path) -> None:
    run(tmp_path, Trajectory(every=3, images=3, film="mp4"))
    for index in range(3):
        _, pictures = decoded(tmp_path / "trajectories" / f"{index:05d}.mp4")
        assert pictures[-1].shape == (256, 512, 3)
        sample = read_png(tmp_path / "samples" / f"{index:05d}_00.png").permute(1, 2, 0).numpy()
        inner = pictures[-1].reshape(8, 32, 16, 32, 3)[:, 8:24, :8, 8:24].astype(int)  # without the codec's soft edges
        assert abs(inner - sample[:, None, :, None]).max() <= 16
        assert abs(inner - sample[:, None, :, None]).mean() < 2


@pytest.mark.parametrize(
    ("shape", "scale"), [((8, 16), 32), ((32, 64), 8), ((100, 200), 3), ((256, 512), 1), ((7, 15), 38), ((301, 602), 2)]
)
def test_an_mp4_keeps_flat_colours_and_has_even_sides(shape: tuple[int, int], scale: int, tmp_path: Path) -> None:
    height, width = shape
    colours = torch.tensor([[[200, 30, 90], [0, 0, 0]], [[255, 0, 0], [255, 255, 255]]], dtype=torch.uint8)
    film = torch.zeros(2, 3, height, width, dtype=torch.uint8)
    film[..., : width // 2] = colours[:, 0, :, None, None]
    film[..., width // 2 :] = colours[:, 1, :, None, None]
    (tmp_path / "film.mp4").write_bytes(trajectory._mp4(film, 100))
    _, pictures = decoded(tmp_path / "film.mp4")
    assert len(pictures) == 11
    for picture, (left, right) in zip(pictures, [colours[0], *[colours[1]] * 10], strict=True):
        assert picture.shape == (scale * height, scale * width, 3)
        edge = scale * (width // 2)
        assert abs(picture[:, : edge - 8].astype(int) - left.numpy()).max() <= 4
        assert abs(picture[:, edge + 8 :].astype(int) - right.numpy()).max() <= 4


def test_an_mp4_without_its_package_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = trajectory.find_spec
    monkeypatch.setattr(trajectory, "find_spec", lambda name: None if name == "av" else found(name))
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'dis-lightning\[film\]'"):
        Trajectory(film="mp4")
    Trajectory(film="gif")


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


@pytest.mark.parametrize("arguments", [{"film": "webm"}, {"film": ""}, {"milliseconds": 6554}])
def test_films_that_no_file_can_hold_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r'as "gif" or "mp4"|milliseconds <= 6553'):
        Trajectory(**arguments)


def test_the_longest_time_fits_into_a_gif(tmp_path: Path) -> None:
    run(tmp_path, Trajectory(every=3, images=1, milliseconds=6553))
    with Image.open(tmp_path / "trajectories" / "00000.gif") as film:
        assert [frame.info["duration"] for frame in ImageSequence.Iterator(film)] == [6550, 6550, 65530]


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
    (shown,) = events.Images("trajectory/00000")
    with Image.open(io.BytesIO(shown.encoded_image_string)) as picture:
        strip = np.array(picture)
    film = np.concatenate(
        [np.array(frame) for frame in frames(tmp_path / "run" / "trajectories" / "00000.gif")], axis=1
    )
    assert strip.shape == (8, 3 * 16, 3)  # three frames side by side, each of two pictures
    assert abs(strip.astype(int) - film).mean() < 8  # a GIF has 256 colours

    kept = {
        file.name.rsplit("_", 2)[0]: file for file in tmp_path.glob("wandb/offline-run-*/files/media/images/**/*.png")
    }
    assert kept.keys() == {"grid", "00000"}
    assert torch.equal(read_png(kept["00000"]), torch.from_numpy(strip).permute(2, 0, 1))
    assert torch.equal(read_png(kept["grid"]), read_png(tmp_path / "run" / "grid.png"))
