"""The networks that metrics look with: against independent use of the same weights, and without a network."""

import hashlib
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import open_clip
import pytest
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch.nn import functional as F
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchvision.models import alexnet, resnet50

from dis_lightning.images import dequantise
from dis_lightning.metrics.networks import CLIPFeatures, InceptionFeatures, PerceptualDistance, ResNetFeatures

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.randint(256, (3, 3, 40, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def tiny_clip(tmp_path: Path) -> CLIPFeatures:
    (tmp_path / "tiny-clip.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(tmp_path)
    torch.manual_seed(0)
    torch.save(open_clip.create_model("tiny-clip").state_dict(), tmp_path / "tiny.pt")
    return CLIPFeatures(
        "tiny-clip", str(tmp_path / "tiny.pt"), {"mean": OPENAI_DATASET_MEAN, "std": OPENAI_DATASET_STD}
    )


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def offline(*_: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    monkeypatch.setattr(open_clip, "download_pretrained", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))


def test_lpips_is_the_weighted_distance_of_unit_features_of_the_trunk(tmp_path: Path, pictures: torch.Tensor) -> None:
    torch.manual_seed(0)
    trunk = alexnet(weights=None).features
    torch.save({f"features.{key}": value for key, value in trunk.state_dict().items()}, tmp_path / "alex.pth")
    found = PerceptualDistance("alex", str(tmp_path / "alex.pth"))
    found.load()
    x, y = dequantise(pictures), dequantise(pictures.flip(0))

    expected = torch.zeros(3)
    shift, scale = (torch.tensor(v)[:, None, None] for v in ([-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]))
    one, other = (x - shift) / scale, (y - shift) / scale
    heads = iter(found._model.load().lins)
    with torch.no_grad():
        for number, layer in enumerate(trunk[:12]):
            one, other = layer(one), layer(other)
            if number in (1, 4, 7, 9, 11):
                apart = (F.normalize(one, dim=1, eps=1e-10) - F.normalize(other, dim=1, eps=1e-10)).square()
                weights = next(heads).model[1].weight
                expected += (apart * weights[0]).sum(dim=1).mean(dim=(1, 2))
    assert torch.allclose(found(x, y), expected, rtol=1e-4)
    assert found(x, x).tolist() == [0, 0, 0]
    file = hashlib.sha256((tmp_path / "alex.pth").read_bytes())
    assert found.define()["weights_file_sha256"] == file.hexdigest()
    with pytest.raises(ValueError, match="31 pixels or more a side, but got 30 x 31"):
        found(x[..., :30, :31], y[..., :30, :31])
    assert found(x[..., :31, :31], y[..., :31, :31]).isfinite().all()


def test_inception_features_are_those_of_torch_fidelity_and_its_weights_are_known(
    tmp_path: Path, pictures: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        patch.setattr(torch, "load", lambda *_, **__: None)
        network = FeatureExtractorInceptionV3("i", ["2048"], feature_extractor_weights_path="none")
    torch.save(network.state_dict(), tmp_path / "inception.pth")
    found = InceptionFeatures(str(tmp_path / "inception.pth"))
    found.load()
    with torch.no_grad():
        assert torch.equal(found.rows(pictures[:1]), network(pictures[:1])[0])
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    assert found.define()["weights_tensors_sha256"] == digest.hexdigest()
    file = hashlib.sha256((tmp_path / "inception.pth").read_bytes())  # what others publish
    assert found.define()["weights_file_sha256"] == file.hexdigest()


def test_patches_of_one_colour_are_not_taken_for_the_image_that_they_are_cut_from(tiny_clip: CLIPFeatures) -> None:
    image = torch.full((1, 3, 64, 64), 9, dtype=torch.uint8)
    assert len(tiny_clip.rows(image)) == 1
    assert len(tiny_clip.rows(image.reshape(4, 3, 32, 32))) == 4


def test_a_pickle_in_place_of_weights_is_not_executed(tmp_path: Path) -> None:
    torch.save({"fc.weight": print}, tmp_path / "inception.pth")
    with pytest.raises(ValueError, match="never executed"):
        InceptionFeatures(str(tmp_path / "inception.pth")).load()


def test_resnet_features_are_what_its_last_layer_sees(tmp_path: Path, pictures: torch.Tensor) -> None:
    torch.manual_seed(0)
    network = resnet50(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "resnet.pth")
    found = ResNetFeatures(str(tmp_path / "resnet.pth"))
    found.load()
    large = F.interpolate(pictures[:1] / 255, (224, 224), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    with torch.no_grad():
        expected = network((large - mean) / std)
        assert torch.allclose(network.fc(found.rows(pictures[:1])), expected, rtol=1e-4, atol=1e-5)


def test_clip_features_are_those_of_open_clip(tiny_clip: CLIPFeatures, pictures: torch.Tensor) -> None:
    tiny_clip.load()
    network, _, preprocess = open_clip.create_model_and_transforms("tiny-clip", pretrained=tiny_clip.pretrained)
    network.eval()
    small = pictures[..., :32, :32]  # where nothing is resized, Pillow's way and torch's are one
    with torch.no_grad():
        normal = preprocess.transforms[-1]
        expected = network.encode_image(normal(small / 255), normalize=True)
        words = network.encode_text(open_clip.get_tokenizer("tiny-clip")(["a bed", "a lamp"]), normalize=True)
    assert torch.allclose(tiny_clip.rows(small), expected, atol=1e-6)
    assert torch.allclose(tiny_clip.words(["a bed", "a lamp"]), words, atol=1e-6)
    wide = torch.cat([torch.zeros_like(small), small, torch.zeros_like(small)], dim=3)
    assert torch.allclose(tiny_clip.rows(wide), expected, atol=1e-6)  # cut in the middle


@pytest.mark.parametrize(
    ("network", "file"),
    [
        (lambda: PerceptualDistance("alex"), "alexnet-owt-7be5be79.pth"),
        (lambda: PerceptualDistance("vgg"), "vgg16-397923af.pth"),
        (InceptionFeatures, "weights-inception-2015-12-05-6726825d.pth"),
        (ResNetFeatures, "resnet50-0676ba61.pth"),
    ],
)
@pytest.mark.usefixtures("no_network")
def test_a_missing_file_is_named_with_its_place(network: Callable[[], Any], file: str, tmp_path: Path) -> None:
    with pytest.raises(ConnectionError, match=f"elsewhere and put it at {tmp_path / 'hub' / 'checkpoints' / file}"):
        network().load()


@pytest.mark.usefixtures("no_network")
def test_missing_clip_weights_are_named_with_the_remedy() -> None:
    file = r"open_clip_model.safetensors .* of https://huggingface.co/timm/vit_large_patch14_clip_224.openai elsewhere"
    with pytest.raises(ConnectionError, match=f"get {file} and give its path as `pretrained`"):
        CLIPFeatures().load()


def test_an_unknown_clip_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="knows no model 'ViT-Z'"):
        CLIPFeatures("ViT-Z")
    with pytest.raises(ValueError, match=r"tag of ViT-L-14, which are openai"):
        CLIPFeatures("ViT-L-14", "nothing")
    with pytest.raises(FileNotFoundError, match=r"nothing.pt is no file .*; the tags are openai"):
        CLIPFeatures("ViT-L-14", "nothing.pt")
