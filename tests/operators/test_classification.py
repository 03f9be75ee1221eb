"""Classification by published classifiers, here with random weights from files of their form."""

import math
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from tiny_networks import classifier_file
from torchvision import models, transforms

from dis_lightning.noise import NoiseSource
from dis_lightning.operators import Classification, TimmClassifier, TorchvisionClassifier
from dis_lightning.operators.classifiers import Classifier
from dis_lightning.operators.published_input import CLIP_MEAN, CLIP_STD


def operator(**changes: Any) -> Classification:
    return Classification(TorchvisionClassifier("squeezenet1_1", classifier_file()), **{"size": 32} | changes)


def images(count: int = 3) -> torch.Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def torchvisions_logits(x: torch.Tensor) -> torch.Tensor:
    network = models.squeezenet1_1(weights=None).eval()
    network.load_state_dict(torch.load(classifier_file()))
    with torch.no_grad():
        return network(transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])(x / 2 + 0.5))


class Linear(Classifier):
    """Four classes, whose logits are ten times the mean of a quarter of the picture."""

    classes = ("upper left", "upper right", "lower left", "lower right")

    def build(self, device: torch.device | str = "cpu") -> torch.nn.Module:
        network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Conv2d(3, 1, 1), torch.nn.Flatten())
        network[1].weight.data.fill_(10 / 3)
        network[1].bias.data.zero_()
        return network


def test_a_classifier_says_what_torchvision_makes_of_the_same_file() -> None:
    torch.testing.assert_close(operator()(images()), torchvisions_logits(images()), rtol=1e-5, atol=1e-5)


def test_the_distance_is_minus_the_log_probability_of_the_class() -> None:
    x, y = images(), torch.tensor([5, 281, 999])
    truth = -torchvisions_logits(x).double().log_softmax(1)[torch.arange(3), y]
    torch.testing.assert_close(operator().distance(x, y).double(), truth, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(operator().energy(x, y).double(), truth, rtol=1e-5, atol=1e-5)


def test_the_brightest_quarter_is_recognised() -> None:
    x = -torch.ones(4, 3, 8, 8)
    for quarter in range(4):
        row, column = divmod(quarter, 2)
        x[quarter, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 1.0
    four = Classification(Linear(), size=8, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    y = four.measure(x, NoiseSource(0, range(4)))
    assert isinstance(y, torch.Tensor)
    assert y.tolist() == [0, 1, 2, 3]
    # One logit of 10, three of 0.
    torch.testing.assert_close(
        four.distance(x, y), torch.full((4,), math.log(1 + 3 * math.exp(-10))), rtol=0, atol=1e-6
    )
    assert four.picture(y).shape == (4, 3, 256, 256)


def test_softmax_twice_is_the_authors_distance_with_its_narrow_range() -> None:
    x, y = images(), torch.tensor([5, 281, 999])
    twice = operator(softmax_twice=True)
    probabilities = torchvisions_logits(x).double().softmax(1)
    truth = torch.logsumexp(probabilities, 1) - probabilities[torch.arange(3), y]
    torch.testing.assert_close(twice.distance(x, y).double(), truth, rtol=1e-5, atol=1e-5)
    assert torch.equal(twice.energy(x, y), operator().energy(x, y))
    lit = -torch.ones(1, 3, 8, 8)
    lit[..., :4, :4] = 1.0
    sure = Classification(Linear(), size=8, mean=(0.0, 0.0, 0.0), std=(0.01, 0.01, 0.01), softmax_twice=True)
    extremes = [sure.distance(lit, torch.tensor([label])).item() for label in (0, 1)]
    assert extremes == pytest.approx([math.log(math.e + 3) - 1, math.log(math.e + 3)])


def test_a_target_goes_with_the_image_whatever_the_batch() -> None:
    cycle = operator(targets=[281, 282, 283, 284, 285])
    y = cycle.measure(images(), NoiseSource(0, [7, 0, 14]))
    assert isinstance(y, torch.Tensor)
    assert y.tolist() == [283, 281, 285]
    given = operator(targets=[281]).measure(images(), NoiseSource(0, [7, 0, 14]))
    assert isinstance(given, torch.Tensor)
    assert given.tolist() == [281] * 3
    assert [cycle.classes[label] for label in (281, 285)] == ["tabby", "Egyptian cat"]


def test_other_colours_are_another_measurement() -> None:
    authors = operator(mean=CLIP_MEAN, std=CLIP_STD)
    u = (images() + 1) / 2
    as_if = (u - torch.tensor(CLIP_MEAN).reshape(3, 1, 1)) / torch.tensor(CLIP_STD).reshape(3, 1, 1)
    back = as_if * torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1) + torch.tensor([0.485, 0.456, 0.406]).reshape(
        3, 1, 1
    )
    torch.testing.assert_close(authors(images()), torchvisions_logits(2 * back - 1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_there_is_a_gradient_with_respect_to_the_image(dtype: torch.dtype) -> None:
    x = images().requires_grad_()
    operator(dtype=dtype).distance(x, torch.tensor([5, 281, 999])).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert (x.grad.flatten(1).norm(dim=1) > 0).all()


def test_the_network_is_read_on_first_use_and_never_trained() -> None:
    lazy = operator()
    assert lazy.network.network is None
    assert list(lazy.parameters()) == []
    lazy.load()
    assert lazy.network.network is not None
    assert not lazy.network.network.training
    assert not any(weight.requires_grad for weight in lazy.network.parameters())


def test_a_classifier_of_timm_says_what_timm_makes_of_the_same_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = timm.create_model("test_resnet").eval()
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    ours = Classification(TimmClassifier("test_resnet", tmp_path / "weights.pt"), size=32)
    x = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])(images() / 2 + 0.5)
    with torch.no_grad():
        torch.testing.assert_close(ours(images()), network(x), rtol=1e-5, atol=1e-5)
    assert ours.classes[281] == "tabby"


def test_weights_that_cannot_be_had_are_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    published = models.ResNet50_Weights.IMAGENET1K_V2.url
    with pytest.raises(ConnectionError, match=f"get {published} elsewhere and put it at {tmp_path}"):
        Classification(TorchvisionClassifier("resnet50", "IMAGENET1K_V2")).load()
    hub = r"get model.safetensors .* of https://huggingface.co/timm/{} elsewhere and give its path as `weights`"
    for name, repository in {"resnet50": "resnet50.a1_in1k", "test_resnet.r160_in1k": "test_resnet.r160_in1k"}.items():
        with pytest.raises(ConnectionError, match=hub.format(repository)):
            Classification(TimmClassifier(name)).load()
    with pytest.raises(ConnectionError, match=r"get https://github.com/.*nvidia-d1d86009\.pth elsewhere and give its"):
        Classification(TimmClassifier("gcvit_xxtiny.in1k")).load()
    with pytest.raises(FileNotFoundError, match=r"nowhere.pt is no file .*; the published weights are IMAGENET1K_V1"):
        Classification(TorchvisionClassifier("resnet50", "nowhere.pt")).load()
    with pytest.raises(FileNotFoundError, match=r"'IMAGENET1K_V3' is no file .*\. Did you mean `IMAGENET1K_V[12]"):
        Classification(TorchvisionClassifier("resnet50", "IMAGENET1K_V3")).load()
    with pytest.raises(ValueError, match="holds another network than TorchvisionClassifier"):
        Classification(TorchvisionClassifier("resnet18", classifier_file())).load()


def offline(*_: object, **__: object) -> None:
    raise OSError("no network")


def test_bad_names_and_targets_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"torchvision has no classifier 'resnet51'. Did you mean .*`resnet50"):
        TorchvisionClassifier("resnet51")
    with pytest.raises(ValueError, match=r"timm has no classifier 'vit_tinyy'. Did you mean"):
        TimmClassifier("vit_tinyy")
    with pytest.raises(ValueError, match=r"no classifier 'resnet50.a1_in2k'. Did you mean .*`resnet50.a1_in1k"):
        TimmClassifier("resnet50.a1_in2k")
    with pytest.raises(ValueError, match="timm has no weights for coatnet_0_224; give a file of them"):
        TimmClassifier("coatnet_0_224")
    for targets in ([], [281, 1000], [-1]):
        with pytest.raises(ValueError, match=r"among the classes 0 \.\. 999"):
            operator(targets=targets)


def test_a_size_that_the_network_cannot_take_is_refused_when_it_is_read(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_vit").state_dict(), tmp_path / "weights.pt")
    only_160 = Classification(TimmClassifier("test_vit", tmp_path / "weights.pt"), size=200)
    with pytest.raises(ValueError, match=r"test_vit.* cannot take pictures of 200 x 200 pixels \(.*\); give Class"):
        only_160.load()
    with pytest.raises(ValueError, match=r"squeezenet1_1.* 4 x 4 pixels \(.*\); give Classification the `size`"):
        operator(size=4)(images())


def test_a_picture_needs_a_size() -> None:
    with pytest.raises(ValueError, match=r"needs size >= 1, .* but got size=0"):
        operator(size=0)


@pytest.mark.parametrize("twice", [False, True])
def test_labels_that_are_no_classes_or_too_few_are_refused(twice: bool) -> None:
    for labels in ([5, 281, 1000], [-1, 281, 5], [5, -100, 281]):
        with pytest.raises(ValueError, match=rf"needs classes 0 \.\. 999, but got labels from {min(labels)} to"):
            operator(softmax_twice=twice).distance(images(), torch.tensor(labels))
    with pytest.raises(ValueError, match=r"of 3 images, but got labels of shape \(1,\)"):
        operator(softmax_twice=twice).distance(images(), torch.tensor([5]))
