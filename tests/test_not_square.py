"""Images of any height and width all the way: prediction, evaluation and report by commands."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from dis_lightning.main import main
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import (
    AveragePool,
    BicubicDownsample,
    BoxInpainting,
    GaussianBlur,
    LinearOperator,
    MotionBlur,
    PhaseRetrieval,
    RandomInpainting,
)
from dis_lightning.priors import UNet, save_network

HEIGHT, WIDTH, IMAGES, SAMPLES = 16, 24, 3, 2

pytestmark = pytest.mark.usefixtures("in_project")


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """DPS on averages of 4 x 4 pixels, of pictures that are larger, by a network of squares."""
    random = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for index in range(IMAGES):
        pixels = random.integers(64, 192, (2 * HEIGHT, 2 * WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{index}.png")
    network = UNet(16, 32, 1, [8], [1, 2], num_head_channels=32)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.05, generator=torch.Generator().manual_seed(weight.numel()))
    save_network(network, tmp_path / "network.safetensors")
    files = ["operators/average_pool_x4", "solvers/dps", "callbacks/trajectory"]
    return [
        "predict",
        *[f"--config=configs/{name}.yaml" for name in files],
        *["--data=FolderData", f"--data.root={tmp_path / 'images'}", "--data.num_images=null"],
        *["--data.transform=ShorterSideBox", f"--data.transform.size=[{HEIGHT},{WIDTH}]"],
        *["--denoiser=EDM", f"--denoiser.network={tmp_path / 'network.safetensors'}", "--trainer.accelerator=cpu"],
        *["--model.levels.steps=4", f"--model.num_samples={SAMPLES}", f"--writer.folder={tmp_path / 'run'}"],
    ]


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.array(image).astype(float)


def test_pictures_that_are_not_square_go_all_the_way(arguments: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    main([*arguments, f"--denoiser.image_size=[{HEIGHT},{WIDTH}]"])

    psnr = []
    for index in range(IMAGES):
        truth = pixels(folder / "sources" / f"{index:05d}.png")
        whole = pixels(tmp_path / "images" / f"{index}.png")
        halved = whole.reshape(HEIGHT, 2, WIDTH, 2, 3).mean(axis=(1, 3))
        assert abs(truth - halved).max() <= 1
        measured = pixels(folder / "measurements" / f"{index:05d}.png")
        pooled = truth.reshape(HEIGHT // 4, 4, WIDTH // 4, 4, 3).mean(axis=(1, 3))
        assert abs(measured - pooled).max() < 5 * 0.1 * 127.5  # standard deviations of the noise
        samples = [pixels(folder / "samples" / f"{index:05d}_{sample:02d}.png") for sample in range(SAMPLES)]
        psnr.append(np.mean([20 * np.log10(255 / np.sqrt(np.mean((s - truth) ** 2))) for s in samples]))
    before = json.loads((folder / "metrics.json").read_text())
    assert before["metrics"]["psnr"]["mean"] == pytest.approx(np.mean(psnr), rel=1e-5)
    with Image.open(folder / "trajectories" / "00000.gif") as film:
        assert {frame.size for frame in ImageSequence.Iterator(film)} == {(2 * WIDTH, HEIGHT)}

    (folder / "metrics.json").unlink()
    main(["evaluate", str(folder), "--device=cpu"])
    assert json.loads((folder / "metrics.json").read_text())["metrics"] == before["metrics"]
    (folder / "report.html").unlink()
    main(["report", str(folder)])
    assert (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], r"for images of shape \(3, 16, 16\), but the data has \(3, 16, 24\); .* image_size of a prior"),
        (["--denoiser.image_size=[16,25]"], "multiples of 2, by which its network reduces images, but got 16 x 25"),
        (["--denoiser.image_size=[16,24]", "--data.transform.size=[24,16]"], r"has \(3, 24, 16\)"),
    ],
)
def test_sizes_that_do_not_fit_are_named_before_sampling(
    more: list[str], message: str, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*arguments, *more])
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line)
    assert not list((tmp_path / "run").glob("samples/*"))


@pytest.mark.parametrize(
    "operator",
    [
        AveragePool(4),
        BicubicDownsample(4),
        GaussianBlur(5, 1.0),
        MotionBlur(7),
        RandomInpainting(0.3),
        BoxInpainting(0.5),
    ],
    ids=lambda operator: type(operator).__name__,
)
def test_a_linear_operator_has_its_adjoint_on_rectangles(operator: LinearOperator) -> None:
    stream = NoiseSource(0, range(2))
    x = torch.randn(2, 3, HEIGHT, WIDTH)
    y = operator.measure(x, stream)
    measured = operator.linear(x.double(), y)
    u = torch.randn_like(measured).masked_fill(y.isnan(), torch.nan)  # by which a mask of each image's own is known
    back = operator.adjoint(u)
    assert back.shape == (2, 3, HEIGHT, WIDTH)
    assert (measured * u).nan_to_num().sum().item() == pytest.approx((x * back).sum().item(), rel=1e-5)


def test_phase_retrieval_on_rectangles_is_the_modulus_of_the_padded_spectrum() -> None:
    x = torch.randn(2, 3, HEIGHT, WIDTH)
    padded = np.pad(x.numpy(), [(0, 0), (0, 0), (2, 2), (3, 3)])  # an eighth of each side
    expected = np.fft.fftshift(np.abs(np.fft.fft2(padded, norm="ortho")), (-2, -1))
    np.testing.assert_allclose(PhaseRetrieval()(x).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_noise_of_rectangles_is_that_of_their_streams() -> None:
    both, second = (NoiseSource(3, indices).normal((len(indices), 1, HEIGHT, WIDTH)) for indices in (range(2), [1]))
    assert torch.equal(both[1:], second)
