"""Pictures that are measurements: a photograph of few pixels, a picture with a hole; nobody knows the clean image."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_run import SMALL

from dis_lightning.data import MeasurementArrayData, MeasurementData
from dis_lightning.images import dequantise, quantise
from dis_lightning.main import main
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import AveragePool, MaskInpainting, PhaseRetrieval, RandomInpainting
from dis_lightning.rooms import RoomsClass, render_room
from dis_lightning.runs import RunFolder

pytestmark = pytest.mark.usefixtures("in_project")

NOISE = NoiseSource(0, [0])


def rooms(side: int, count: int = 3) -> torch.Tensor:
    pictures = np.stack([render_room("test", index, 8).image for index in range(count)])
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    return images if side == 8 else quantise(AveragePool(8 // side)(dequantise(images)))


def save(folder: Path, pictures: torch.Tensor) -> None:
    folder.mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(folder / f"{number}.png")


def command(run: Path, *more: str) -> list[str]:
    kept = [*SMALL[2:-2]]  # without the data's files and numbers
    kept = [argument for argument in kept if not argument.startswith("--data")]
    return ["predict", "--config=configs/data/measurements.yaml", *kept, f"--writer.folder={run}", *more]


def test_a_picture_of_few_pixels_is_reconstructed_as_if_it_had_been_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "small", rooms(2))
    run = tmp_path / "run"
    arguments = command(run, f"--data.root={tmp_path / 'small'}", "--data.batch_size=2")
    main(arguments)

    folder = RunFolder(run)
    assert folder.indices() == [0, 1, 2]
    found = folder.reconstruction([0, 1, 2])
    assert found.source is None
    assert torch.equal(found.measurement, dequantise(rooms(2)))
    assert found.draws.samples.shape == (3, 2, 3, 8, 8)
    summary = json.loads((run / "metrics.json").read_text())
    assert {"distance", "pixel_std", "evaluations"} < {
        name for part in summary.values() if isinstance(part, dict) for name in part
    }
    assert not {"psnr", "ssim", "coverage"} & set(summary["definitions"])
    # Guidance pulls the samples to the measurement: without it they are much further.
    main(command(tmp_path / "blind", f"--data.root={tmp_path / 'small'}", "--model.scale=0"))
    blind = json.loads((tmp_path / "blind" / "metrics.json").read_text())
    assert summary["consistency"]["distance"]["mean"] < 0.5 * blind["consistency"]["distance"]["mean"]
    assert (run / "grid.png").exists()
    assert (run / "report.html").exists()

    capsys.readouterr()
    main(arguments)
    assert "Reused: 3 of 3" in capsys.readouterr().out
    main(["evaluate", str(run), "--config=configs/callbacks/y_mse.yaml", "--device=cpu"])
    assert "y_mse" in json.loads((run / "metrics.json").read_text())["consistency"]

    Image.new("RGB", (2, 2)).save(tmp_path / "small" / "1.png")
    with pytest.raises(SystemExit):
        main(arguments)
    assert "1.png is image 1 of the data now, but the folder" in capsys.readouterr().err


def test_a_picture_with_a_hole_keeps_what_is_seen_and_what_is_in_the_hole_counts_for_nothing(tmp_path: Path) -> None:
    seen = torch.zeros(8, 8, dtype=torch.uint8)
    seen[:, :5] = 255
    Image.fromarray(seen.numpy()).save(tmp_path / "mask.png")
    operator = MaskInpainting(str(tmp_path / "mask.png"), noise_std=0.1)
    picture = dequantise(rooms(8, 1))
    y = operator.adopt(picture, NOISE, (3, 8, 8))
    assert torch.equal(y[..., :5], picture[..., :5])
    assert (y[..., 5:] == 0).all()

    holes = torch.cat([rooms(8, 2), torch.zeros(2, 1, 8, 8, dtype=torch.uint8)], dim=1)
    holes[0, 3, :, :5], holes[1, 3, :2] = 255, 255
    save(tmp_path / "holes", holes)
    operator = MaskInpainting(str(tmp_path / "holes"), noise_std=0.1, alpha=True)
    y = operator.adopt(dequantise(rooms(8, 2)), NoiseSource(0, [0, 1]), (3, 8, 8))
    assert torch.equal(~y.isnan(), (holes[:, 3:] == 255).expand(-1, 3, -1, -1))
    assert torch.equal(y.nan_to_num(9), torch.where(holes[:, 3:] == 255, dequantise(rooms(8, 2)), 9.0))


@pytest.mark.parametrize(
    ("operator", "told"),
    [
        (AveragePool(2), r"AveragePool of an image of shape \(3, 8, 8\) gives \(3, 4, 4\), but .* have \(3, 8, 8\)"),
        (PhaseRetrieval(oversample=0), "PhaseRetrieval does not measure pictures"),
        (RandomInpainting(0.5, per_image=True), "draws a mask for each image, .* name that by MaskInpainting"),
        (RoomsClass(), "RoomsClass does not measure pictures"),
    ],
)
def test_what_cannot_be_a_measurement_of_the_operator_is_refused(operator, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        operator.adopt(torch.zeros(1, 3, 8, 8), NOISE, (3, 8, 8))


def test_metrics_that_need_the_truth_are_refused_or_have_nothing_to_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "small", rooms(2))
    with pytest.raises(SystemExit):
        main(
            command(tmp_path / "run", f"--data.root={tmp_path / 'small'}", "--config=configs/callbacks/fid_rooms.yaml")
        )
    assert "fid_rooms would compare with the run's own clean images, which nobody knows" in capsys.readouterr().err
    assert not (tmp_path / "run" / "samples").exists()


def test_the_data_say_that_they_hold_no_truth(tmp_path: Path) -> None:
    save(tmp_path / "small", rooms(2))
    data = MeasurementData(tmp_path / "small", num_images=None)
    data.setup()
    assert not data.images.truth
    assert data.shape == (3, 2, 2)
    assert list(data.images.names) == ["0.png", "1.png", "2.png"]
    assert torch.equal(data.images[1]["measurement"], dequantise(rooms(2)[1]))
    assert "image" not in data.images[1]


@pytest.mark.parametrize(
    "operator",
    [
        ["--operator=PhaseRetrieval", "--operator.noise_std=0.1"],
        ["--operator=RandomInpainting", "--operator.visible=0.5", "--operator.per_image=true"],
        ["--operator=dis_lightning.rooms.RoomsClass"],
    ],
    ids=["magnitudes", "masks", "classes"],
)
def test_the_measurements_of_a_run_give_its_samples_again(operator: list[str], tmp_path: Path) -> None:
    """Byte for byte, whatever the measurement is, for the noise is the image's and not that of measuring."""
    main(["predict", *SMALL, *operator, f"--writer.folder={tmp_path / 'run'}"])
    again = command(tmp_path / "again", *operator, "--config=configs/data/measurement_arrays.yaml")
    main([*again, f"--data.root={tmp_path / 'run' / 'measurements'}", "--data.batch_size=2"])
    first, second = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "again")
    assert first.indices() == second.indices()
    for index in first.indices():
        for sample in range(2):
            assert first.sample(index, sample).read_bytes() == second.sample(index, sample).read_bytes()


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (
            np.zeros((3, 2, 2)),
            r"AveragePool of an image .* gives \(3, 4, 4\) of real .* is \(3, 2, 2\)",
        ),
        (np.zeros((3, 4, 4), dtype=np.uint8), r"\(3, 4, 4\) of real numbers, but what was measured is .* of whole"),
    ],
)
def test_numbers_that_the_operator_does_not_give_are_refused(array: np.ndarray, told: str, tmp_path: Path) -> None:
    np.save(tmp_path / "0.npy", array)
    data = MeasurementArrayData(tmp_path)
    data.setup()
    with pytest.raises(ValueError, match=told):
        AveragePool(2).receive(data.images[0]["y"][None], NOISE, (3, 8, 8))


def test_numbers_in_other_units_are_doubted_once() -> None:
    operator, y = AveragePool(2, noise_std=0.1), torch.zeros(1, 3, 4, 4)
    AveragePool(2, noise_std=0.1).receive(y + 3, NOISE, (3, 8, 8))  # noise may be large
    with pytest.warns(UserWarning, match=r"reach 255, where AveragePool takes images in \[-1, 1\] to 1 or so"):
        operator.receive(y + 255, NOISE, (3, 8, 8))
    operator.receive(y + 255, NOISE, (3, 8, 8))


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ([np.zeros(3, dtype=complex)], "must hold an array of real numbers, but holds 3 numbers of complex128"),
        ([np.array([1.0, np.inf])], "holds numbers that are infinite, or too large for float32"),
        ([np.zeros(0)], "holds 0 numbers"),
        ([np.array(["a"], dtype=object)], "0.npy cannot be read as an array: Object arrays cannot be loaded"),
        ([np.zeros(3), np.zeros(4)], r"one shape, but 0.npy in .* has \(3,\) and 1.npy \(4,\)"),
        ([np.array([1e39])], "holds numbers that are infinite, or too large for float32"),
        ([np.array([2**63], dtype=np.uint64)], "too large for int64"),
        ([], "holds no .npy files"),
    ],
)
def test_files_that_hold_no_measurement_are_refused(arrays: list[np.ndarray], told: str, tmp_path: Path) -> None:
    for number, array in enumerate(arrays):
        np.save(tmp_path / f"{number}.npy", array)
    with pytest.raises((ValueError, FileNotFoundError), match=told):
        MeasurementArrayData(tmp_path).setup()


def test_measurements_that_are_words_are_no_arrays(tmp_path: Path) -> None:
    (tmp_path / "00000.txt").write_text("a room")
    with pytest.raises(FileNotFoundError, match=r"measurements that are words, .* give their texts to the operator"):
        MeasurementArrayData(tmp_path).setup()
