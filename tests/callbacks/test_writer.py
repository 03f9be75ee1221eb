"""The run folder as a ledger, through a plain Trainer with its default settings."""

import csv
import json
import shutil
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import lightning
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dis_lightning.callbacks import Writer
from dis_lightning.errors import UnusablePathError
from dis_lightning.files import write_atomically
from dis_lightning.images import dequantise
from dis_lightning.levels import KarrasLevels
from dis_lightning.metrics import PSNR, SSIM, CostPerImage, MeasurementDistance
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import AveragePool, Operator
from dis_lightning.priors import Denoiser, FiniteAtomPrior, GaussianPrior
from dis_lightning.rooms import RoomsClass, RoomsData
from dis_lightning.runs.configuration import expected_images
from dis_lightning.runs.folder import RunFolder, read_png
from dis_lightning.runs.kept import Kept
from dis_lightning.runs.ledger import sealed
from dis_lightning.solvers import DPS, Unguided
from dis_lightning.types import Cost, Draws, Measurement

SHAPE = (3, 8, 8)


def prior() -> GaussianPrior:
    return GaussianPrior(torch.zeros(SHAPE), 0.25 * torch.eye(192))


class Fragile(Denoiser):
    """A Gaussian prior that fails for one row of each call at a high level."""

    def __init__(self, row: int) -> None:
        super().__init__()
        self.shape = SHAPE
        self.inner = prior()
        self.row = row

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        x_0: Tensor = self.inner(x_t, sigma)
        fault = torch.zeros(len(x_0), 1, 1, 1)
        fault[self.row : self.row + 1] = torch.nan if sigma > 10 else 0.0
        return x_0 + fault


class Run(NamedTuple):
    solver: DPS
    folder: Path


def run(
    folder: Path,
    denoiser: Denoiser | None = None,
    num_images: int = 4,
    factor: int = 4,
    precision: Any = "32-true",
    limit: float | None = None,
    **changes: Any,
) -> Run:
    arguments = {"levels": KarrasLevels(4), "scale": 1.0, "num_samples": 2} | changes
    solver = DPS(AveragePool(factor, noise_std=0.1), denoiser or prior(), **arguments)
    writer = Writer(folder)
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = lightning.Trainer(
        accelerator="cpu",
        precision=precision,
        limit_predict_batches=limit,
        callbacks=[PSNR(), SSIM(), CostPerImage(), writer],
        **quiet,
    )
    trainer.predict(solver, RoomsData(size=8, num_images=num_images, batch_size=2), return_predictions=False)
    return Run(solver, folder)


def contents(folder: Path, pattern: str) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.glob(pattern))}


def metrics(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return summary


def test_a_finished_run_is_read_back_and_scored_the_same(tmp_path: Path) -> None:
    run(tmp_path)
    before, scores = contents(tmp_path, "*/*"), metrics(tmp_path)
    times = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*/*")}

    run(tmp_path)

    assert contents(tmp_path, "*/*") == before
    assert metrics(tmp_path) == scores  # the cost too, for nothing was sampled
    assert {file: file.stat().st_mtime_ns for file in tmp_path.glob("*/*")} == times


def add_to_the_set(folder: Path) -> None:
    """What another metric adds to a finished run."""
    value = {"fid": {"mean": 3.0, "standard_error": None, "images": 4, "infinite": 0}}
    content = {key: kept for key, kept in metrics(folder).items() if key != "digest"}
    content["definitions"]["fid"] = {"what": "FID"}
    (folder / "metrics.json").write_bytes(sealed({**content, "set": value}))


def test_values_that_others_have_added_stay_where_every_image_is_reused(tmp_path: Path) -> None:
    run(tmp_path)
    add_to_the_set(tmp_path)
    before = metrics(tmp_path)
    run(tmp_path)
    assert metrics(tmp_path) == before
    assert before["set"]["fid"]["mean"] == 3.0


@pytest.mark.parametrize("killed", [False, True])
def test_values_that_others_have_added_go_where_an_image_is_computed_anew(
    tmp_path: Path, killed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path)
    before = metrics(tmp_path)
    add_to_the_set(tmp_path)
    (tmp_path / "samples" / "00003_01.png").unlink()
    if killed:
        with monkeypatch.context() as patch:
            patch.setattr("dis_lightning.callbacks.writer.sum_up", lambda *_: pytest.fail("killed"))
            with pytest.raises(pytest.fail.Exception):
                run(tmp_path)
        assert not (tmp_path / "metrics.json").exists()
    # What a killed run has taken away is known to nobody.
    told = nullcontext() if killed else pytest.warns(UserWarning, match="of which fid knew nothing: these values")
    with told:
        run(tmp_path)
    after = metrics(tmp_path)
    assert "set" not in after
    assert after["metrics"] == before["metrics"]


def test_values_of_more_images_are_not_taken_for_those_of_fewer(tmp_path: Path) -> None:
    run(tmp_path)
    add_to_the_set(tmp_path)
    text = (tmp_path / "results.csv").read_text().splitlines()
    (tmp_path / "results.csv").write_text("\n".join([*text, text[-1].replace("3,", "4,", 1)]) + "\n")
    run(tmp_path)  # what is damaged defines nothing
    assert "set" not in metrics(tmp_path)


def test_a_folder_says_from_the_start_how_many_images_its_run_has(tmp_path: Path) -> None:
    assert expected_images(RunFolder(tmp_path)) == 0
    with pytest.raises(ValueError, match="cannot divide"):
        run(tmp_path / "begun", factor=3)
    run(tmp_path / "whole", num_images=3)
    assert expected_images(RunFolder(tmp_path / "whole")) == 3


@pytest.mark.parametrize("damage", ["gone", "cut short", "no record", "no source", "another measurement"])
def test_a_broken_image_has_its_batch_computed_again(tmp_path: Path, damage: str) -> None:
    run(tmp_path)
    before = contents(tmp_path, "*/*.png")
    other = {file: file.stat().st_mtime_ns for file in tmp_path.glob("records/0000[01].json")}
    broken = tmp_path / "samples" / "00003_01.png"
    if damage == "gone":
        broken.unlink()
    elif damage == "cut short":
        broken.write_bytes(broken.read_bytes()[:-20])
    elif damage == "no source":
        (tmp_path / "sources" / "00003.png").unlink()
    elif damage == "another measurement":
        shutil.copy(tmp_path / "measurements" / "00000.npy", tmp_path / "measurements" / "00003.npy")
    else:
        (tmp_path / "records" / "00003.json").unlink()
        broken.write_bytes(b"half a fi")

    run(tmp_path)

    assert contents(tmp_path, "*/*.png") == before
    assert {file: file.stat().st_mtime_ns for file in other} == other


def test_a_write_that_stops_half_way_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.json"
    write_atomically(file, b"old")

    def power_failure(descriptor: int) -> None:
        raise SystemError

    monkeypatch.setattr("os.fsync", power_failure)
    with pytest.raises(SystemError):
        write_atomically(file, b"new")
    assert file.read_bytes() == b"old"


def test_a_batch_is_flushed_once_when_all_its_files_are_there_and_before_its_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def look(files: Iterable[Path]) -> None:
        whole = all(file.stat().st_size > 0 for file in files)
        seen.append((whole, len(list(tmp_path.glob("samples/*"))), len(list(tmp_path.glob("records/*")))))

    monkeypatch.setattr("dis_lightning.runs.folder.flush", look)
    run(tmp_path)
    assert seen == [(True, 4, 0), (True, 8, 2)]


@pytest.mark.parametrize("moment", ["before the flush", "after a record"])
def test_a_power_failure_leaves_no_record_of_what_it_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """What was written and not flushed is empty afterwards, as a file system may leave it."""
    before = contents(run(tmp_path / "unbroken").folder, "[smr]*/*.png")
    unflushed: list[Path] = []

    def write(file: Path, content: bytes, *, durable: bool = True) -> None:
        if file.parent.name == "records" and file.stem == "00003" and moment == "after a record":
            raise SystemError
        write_atomically(file, content, durable=durable)
        unflushed.append(file)

    def flush(files: Iterable[Path]) -> None:
        if moment == "before the flush" and "00003" in str(unflushed):
            raise SystemError
        unflushed.clear()

    with monkeypatch.context() as patch:
        patch.setattr("dis_lightning.runs.folder.write_atomically", write)
        patch.setattr("dis_lightning.runs.folder.flush", flush)
        with pytest.raises(SystemError):
            run(tmp_path / "broken")
    for file in unflushed:
        file.write_bytes(b"")
    folder = RunFolder(tmp_path / "broken")
    # Records are flushed with the files of the next batch.
    assert [index for index in range(4) if folder.finished(index)] == ([0, 1] if moment == "after a record" else [])

    run(tmp_path / "broken")
    assert contents(tmp_path / "broken", "[smr]*/*.png") == before
    assert all(map(folder.finished, range(4)))


def test_a_solver_forgets_the_folder_after_its_run(tmp_path: Path) -> None:
    solver = run(tmp_path).solver
    assert solver.recall is None


def test_a_run_that_failed_before_its_first_image_does_not_lock_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot divide"):
        run(tmp_path, factor=3)
    run(tmp_path)
    assert (tmp_path / "metrics.json").exists()


def test_a_run_that_ended_while_it_wrote_its_first_image_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise UnusablePathError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("dis_lightning.runs.folder.flush", full)
        with pytest.raises(UnusablePathError, match="the disk is full"):
            run(tmp_path)
    assert any((tmp_path / "sources").iterdir())
    shutil.rmtree(tmp_path / "samples")  # as it is where there was no room for the first of them
    run(tmp_path)
    assert (tmp_path / "metrics.json").exists()


def test_an_exact_image_has_its_place_in_the_summary(tmp_path: Path) -> None:
    rooms = RoomsData(size=8, num_images=2)
    rooms.setup()
    atoms = torch.stack([rooms.images[index]["image"] for index in range(2)])
    run(tmp_path, FiniteAtomPrior(atoms), num_images=2, scale=0.0, num_samples=1)

    summary = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=pytest.fail)["metrics"]["psnr"]
    assert summary["infinite"] + summary["images"] == 2
    assert summary["infinite"] > 0


def test_half_precision_of_the_trainer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="32-true"):
        run(tmp_path, precision="bf16-mixed")


def test_a_run_that_would_leave_images_out_is_refused(tmp_path: Path) -> None:
    for limit in (1, 0.5):
        with pytest.raises(ValueError, match=f"limit_predict_batches={limit} leaves some out; take fewer images"):
            run(tmp_path, limit=limit)


def test_a_solver_whose_networks_are_read_is_the_one_whose_were_not(tmp_path: Path) -> None:
    solver = Unguided(RoomsClass(), FiniteAtomPrior(torch.zeros(1, 3, 16, 16)), KarrasLevels(2))
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    for callbacks in ([Writer(tmp_path)], [MeasurementDistance(), Writer(tmp_path)]):
        trainer = lightning.Trainer(accelerator="cpu", callbacks=callbacks, enable_model_summary=False, **quiet)
        trainer.predict(solver, RoomsData(size=16, num_images=1), return_predictions=False)
    assert metrics(tmp_path)["images"] == 1


def test_a_diverged_sample_is_named_and_touches_no_other(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    run(tmp_path / "fragile", Fragile(row=1))  # image 0 and 2, sample 1

    lost = {"samples/00000_01.png", "samples/00002_01.png"}
    whole = contents(tmp_path / "whole", "*/*.png")
    assert contents(tmp_path / "fragile", "*/*.png") == {name: data for name, data in whole.items() if name not in lost}
    summary = metrics(tmp_path / "fragile")
    assert summary["diverged"] == {"count": 2, "samples": ["00000_01", "00002_01"]}
    assert summary["metrics"]["psnr"]["images"] == 4
    assert json.loads((tmp_path / "fragile" / "records" / "00002.json").read_text())["diverged"] == [False, True]

    again = run(tmp_path / "fragile", Fragile(row=1))
    assert metrics(again.folder) == summary


def test_an_image_without_any_finite_sample_is_left_out_of_the_means(tmp_path: Path) -> None:
    run(tmp_path, Fragile(row=0), num_samples=1)

    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["psnr"] for row in rows][::2] == ["nan", "nan"]
    kept = [float(row["psnr"]) for row in rows[1::2]]
    assert metrics(tmp_path)["metrics"]["psnr"]["mean"] == pytest.approx(sum(kept) / 2, rel=1e-12)
    assert metrics(tmp_path)["metrics"]["psnr"]["images"] == 2


def test_the_summary_is_the_mean_and_its_standard_error(tmp_path: Path) -> None:
    run(tmp_path)
    with (tmp_path / "results.csv").open() as file:
        values = torch.tensor([float(row["psnr"]) for row in csv.DictReader(file)], dtype=torch.float64)
    summary = metrics(tmp_path)["metrics"]["psnr"]
    assert summary["mean"] == pytest.approx(float(values.mean()), rel=1e-12)
    assert summary["standard_error"] == pytest.approx(float(values.std() / 2), rel=1e-12)


def test_what_is_saved_is_the_rounded_image(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    image = torch.randint(256, (1, 2, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    cost = Cost(evaluations=3.0, gradients=2.0, seconds=0.1, memory=0.5)
    draws = Draws(image, torch.tensor([[False, False]]), [cost])

    measurement = torch.tensor([0.25, -3.0])
    folder.write([7], [Kept("a name", image[0, 0], measurement, image[0, 1])], draws, "me")

    assert torch.equal(read_png(folder.sample(7, 1)), image[0, 1])
    assert np.load(tmp_path / "measurements" / "00007.npy").tolist() == [0.25, -3.0]
    whole = folder.reconstruction([7])
    assert torch.equal(whole.measurement, measurement[None])
    assert torch.equal(whole.truth[0], image[0, 0])
    assert (whole.names, whole.indices.tolist()) == (["a name"], [7])
    back = folder.read(7)
    assert back is not None
    assert torch.equal(back.samples, image)
    assert back.costs == [cost]
    folder.forget(7)
    assert folder.read(7) is None


def drawn() -> Draws:
    black = torch.zeros(1, 1, 3, 4, 4, dtype=torch.uint8)
    return Draws(black, torch.tensor([[False]]), [Cost(1.0, 1.0, 1.0, 1.0)])


def test_a_map_of_classes_is_a_picture_in_their_colours_and_its_numbers_can_be_read_off_it(tmp_path: Path) -> None:
    labels = torch.tensor([[0, 2], [1, 149]])
    palette = torch.randint(256, (150, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    folder, draws = RunFolder(tmp_path), drawn()
    folder.write([3], [Kept("a", draws.samples[0, 0], labels, labels, palette)], draws, "me")
    with Image.open(folder.measurement(3)) as picture:
        assert picture.mode == "P"
        assert np.array(picture).tolist() == labels.tolist()
    assert torch.equal(read_png(folder.measurement(3)), palette[labels].permute(2, 0, 1))
    assert torch.equal(folder.reconstruction([3]).measurement, labels[None])


def test_a_caption_is_kept_as_words(tmp_path: Path) -> None:
    folder, draws = RunFolder(tmp_path), drawn()
    caption = "ein Bett,\neine Lampe \u2013 “rot”"
    folder.write([3], [Kept("a", draws.samples[0, 0], caption, draws.samples[0, 0])], draws, "me")
    assert (tmp_path / "measurements" / "00003.txt").read_text(encoding="utf-8") == caption
    assert folder.reconstruction([3]).measurement == [caption]
    (tmp_path / "measurements" / "00003.txt").write_text("another", encoding="utf-8")
    with pytest.raises(ValueError, match=r"00003.txt is gone or damaged; give the command that made .* again"):
        folder.reconstruction([3])


def test_a_resumed_run_says_how_many_images_it_reused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path)
    assert "Reused" not in capsys.readouterr().out
    (tmp_path / "records" / "00003.json").unlink()
    run(tmp_path)
    assert "Reused: 2 of 4 images" in capsys.readouterr().out
    run(tmp_path)
    assert "Reused: 4 of 4 images" in capsys.readouterr().out


class Own(Operator):
    """An operator as a user writes it: it says nothing of pictures."""

    def __init__(self, measured: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.measured = measured

    def forward(self, x_0: Tensor) -> Any:
        return self.measured(x_0)

    def measure(self, x_0: Tensor, noise: NoiseSource) -> Measurement:
        y: Measurement = self.measured(x_0)
        return y

    def distance(self, x_0: Tensor, y: Measurement) -> Tensor:
        return x_0.flatten(1).mean(dim=1)

    energy = distance


class Ugly(Own):
    """One whose picture is none."""

    def picture(self, y: Measurement) -> Tensor:
        return torch.zeros(len(y), 8, 8)


MEASURED: dict[str, Callable[[Tensor], Any]] = {
    "one channel": lambda x: x.mean(dim=1, keepdim=True),
    "two channels": lambda x: x[:, :2],
    "no axis of channels": lambda x: x.mean(dim=1),
    "a vector": lambda x: x.flatten(1)[:, :29],
    "a number": lambda x: x.flatten(1).mean(dim=1),
    "large numbers": lambda x: 1000 * x,
    "complex numbers": torch.fft.fft2,
    "whole numbers": lambda x: (100 * x).long(),
    "half precision": lambda x: x.to(torch.bfloat16),
    "words": lambda x: ["a room"] * len(x),
}


def measured_by(folder: Path, operator: Operator) -> list[int]:
    """Run; give the steps that were taken."""
    steps: list[int] = []
    solver = Unguided(operator, prior(), KarrasLevels(3))
    solver.observers.append(lambda state: steps.append(state.step))
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = lightning.Trainer(accelerator="cpu", callbacks=[Writer(folder)], enable_model_summary=False, **quiet)
    try:
        trainer.predict(solver, RoomsData(size=8, num_images=2), return_predictions=False)
    finally:
        assert (folder / "metrics.json").exists() == bool(steps)
    return steps


@pytest.mark.parametrize("kind", MEASURED)
def test_a_measurement_of_any_kind_is_kept_and_shown(kind: str, tmp_path: Path) -> None:
    assert measured_by(tmp_path, Own(MEASURED[kind])) == [1, 2, 3] * 2
    kept = RunFolder(tmp_path).reconstruction([0, 1])
    assert isinstance(kept.source, Tensor)
    y = MEASURED[kind](dequantise(kept.source))
    if isinstance(y, Tensor):
        assert isinstance(kept.measurement, Tensor)
        assert torch.allclose(kept.measurement, y.to(kept.measurement.dtype), atol=0.02 * float(y.abs().max()))
    else:
        assert kept.measurement == y
    assert (tmp_path / "grid.png").exists()


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (Ugly(lambda x: x), r"Ugly.picture gives pictures \(B, 3, h, w\) or .* but gave \(1, 8, 8\)"),
        (Own(lambda x: {"mean": x, "std": x}), r"Own.measure must .* or a list of B texts, but gave a dict"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_anything_is_sampled(
    operator: Operator, message: str, tmp_path: Path
) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        measured_by(tmp_path, operator)
    assert not list(tmp_path.glob("*/*"))
