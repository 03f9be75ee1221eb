"""LPIPS and a classifier with weights that were really trained, on photographs."""

import warnings
from pathlib import Path

import lpips
import pytest
import torch
from filelock import FileLock
from published import classifier, heads, trunk
from skimage import data
from skimage.io import imsave
from torch import Tensor
from torch.nn import functional as F

from dis_lightning.main import main
from dis_lightning.metrics.networks import PerceptualDistance
from dis_lightning.operators import Classification, TimmClassifier

pytestmark = pytest.mark.real_weights


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files are, shared by all processes of the suite."""
    place = tmp_path_factory.getbasetemp().parent / "real_weights"
    place.mkdir(exist_ok=True)
    with FileLock(place / "lock"):
        for network in ("alex", "vgg"):
            if not (place / f"{network}.safetensors").exists():
                trunk(network, place)
        if not (place / "efficientnet_lite0.safetensors").exists():
            classifier(place)
    return place


def photograph(name: str, size: int = 256) -> Tensor:
    """The middle of a photograph of scikit-image, `(1, 3, size, size)`, in [-1, 1]."""
    image = torch.from_numpy(getattr(data, name)()[..., :3].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    side = min(image.shape[2:])
    top, left = ((length - side) // 2 for length in image.shape[2:])
    square = image[..., top : top + side, left : left + side]
    return F.interpolate(square, size=(size, size), mode="bilinear", antialias=True)


@pytest.mark.parametrize("network", ["alex", "vgg"])
def test_the_fitted_weights_are_those_of_the_package(network: str, folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips 0.1.4 asks torchvision in an old way
        model = lpips.LPIPS(net=network, pnet_rand=True, verbose=False)
    with FileLock(folder / "lock"):
        found = heads(network, folder)
    for ours, layer in zip(found, model.lins, strict=True):
        assert torch.equal(ours, layer.model[-1].weight.flatten())


@pytest.mark.parametrize(("network", "noisy", "blurred"), [("alex", 0.3882, 0.2665), ("vgg", 0.4371, 0.2276)])
def test_lpips_of_a_photograph_has_its_known_values(network: str, noisy: float, blurred: float, folder: Path) -> None:
    distance = PerceptualDistance(network, str(folder / f"{network}.safetensors"))  # type: ignore[arg-type]
    image = photograph("astronaut")
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    mean = F.avg_pool2d(image, 5, stride=1, padding=2)
    assert float(distance(image, image)) == 0
    assert float(distance(image, (image + 0.2 * noise).clamp(-1, 1))) == pytest.approx(noisy, abs=1e-3)
    assert float(distance(image, mean)) == pytest.approx(blurred, abs=1e-3)


def judge(folder: Path) -> Classification:
    return Classification(TimmClassifier("tf_efficientnet_lite0", weights=folder / "efficientnet_lite0.safetensors"))


@pytest.mark.parametrize(("name", "word", "share"), [("coffee", "espresso", 0.5), ("chelsea", "cat", 0.2)])
def test_a_real_classifier_sees_what_a_photograph_shows(name: str, word: str, share: float, folder: Path) -> None:
    operator = judge(folder)
    operator.load()
    shares = operator(photograph(name)).softmax(dim=1)[0]
    best = int(shares.argmax())
    assert word in operator.classes[best]
    assert float(shares[best]) > share


def test_a_real_classifier_guides_a_run(folder: Path, tmp_path: Path, in_project: None) -> None:
    """A classifier that was never told of rooms pulls samples to the class that it sees in a picture."""
    (tmp_path / "pictures").mkdir()
    pixels = ((photograph("coffee", 32)[0].permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy()
    imsave(tmp_path / "pictures" / "coffee.png", pixels, check_contrast=False)
    network = [
        "--operator=Classification",
        "--operator.classifier=TimmClassifier",
        "--operator.classifier.name=tf_efficientnet_lite0",
        f"--operator.classifier.weights={folder / 'efficientnet_lite0.safetensors'}",
    ]
    data = ["--config=data/folder", f"--data.root={tmp_path / 'pictures'}", "--data.num_images=1"]
    solver = ["--config=solvers/dps", "--model.levels.steps=10", "--model.scale=30"]
    prior = ["--config=priors/rooms_edm", "--data.transform.size=32"]
    run = [f"--writer.folder={tmp_path / 'run'}", "--trainer.accelerator=cpu"]
    main(["predict", *data, *prior, *network, *solver, *run])
    assert (tmp_path / "run" / "grid.png").exists()
