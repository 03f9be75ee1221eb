"""The published networks against the names and shapes of their published files, which load under the names of cards."""

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from lightning.pytorch.cli import LightningArgumentParser
from published_files import manifest, write_published
from safetensors.torch import save_file

from dis_lightning.noise import NoiseSource
from dis_lightning.operators import NonlinearBlur, Operator, RoomLayout, Segmentation
from dis_lightning.operators.networks import KernelWizard, MobileNetC1, PlanarLayout, ResNetPPM
from dis_lightning.operators.networks.published import COUNTERS, PublishedNetwork, cards, read_network
from dis_lightning.weights import load_networks

BUILD: dict[str, Callable[[], PublishedNetwork]] = {
    "kernel_wizard_gopro": KernelWizard,
    "ade20k_mobilenetv2_c1_encoder": MobileNetC1.build_encoder,
    "ade20k_mobilenetv2_c1_decoder": MobileNetC1.build_decoder,
    "ade20k_resnet50_ppm_encoder": ResNetPPM.build_encoder,
    "ade20k_resnet50_ppm_decoder": ResNetPPM.build_decoder,
    "room_layout_lin2018": PlanarLayout,
}
OPERATORS: dict[str, Callable[[], Operator]] = {
    "kernel_wizard_gopro": NonlinearBlur,
    "ade20k_mobilenetv2_c1_encoder": Segmentation,
    "ade20k_resnet50_ppm_encoder": lambda: Segmentation(ResNetPPM()),
    "room_layout_lin2018": RoomLayout,
}
SIZES = ("in_channels", "out_channels", "kernel_size")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no network."""

    def refuse(*_: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def used(name: str) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {key: tuple(tensor.shape) for key, tensor in BUILD[name]().state_dict().items()}


def test_every_card_has_a_manifest_and_says_what_it_is() -> None:
    assert set(cards()) == set(BUILD)
    for card in cards().values():
        assert card.about
        assert card.licence
        assert card.suffix in {".pth", ".ckpt"}


@pytest.mark.parametrize("name", BUILD)
def test_the_network_has_the_weights_of_the_file_that_are_not_for_training_alone(name: str) -> None:
    with torch.device("meta"):
        unused = BUILD[name]().UNUSED
    expected = {
        key.removeprefix("model."): tuple(shape)
        for key, shape in manifest(name).items()
        if not key.removeprefix("model.").startswith(unused) and not key.endswith(COUNTERS)
    }
    assert used(name) == expected


def test_the_blurring_network_has_the_published_number_of_parameters() -> None:
    def parameters(shapes: dict[str, Any]) -> int:
        return sum(torch.Size(shape).numel() for shape in shapes.values())

    assert len(manifest("kernel_wizard_gopro")) == 159
    assert parameters(manifest("kernel_wizard_gopro")) == 115_265_475
    assert parameters(used("kernel_wizard_gopro")) == 23_662_531


@pytest.mark.parametrize("name", OPERATORS)
def test_a_file_put_into_the_cache_is_read_under_its_name(name: str, cache: Path) -> None:
    operator = OPERATORS[name]()
    assert list(operator.parameters()) == []
    write_published(name)
    if name.endswith("_encoder"):
        write_published(name.replace("_encoder", "_decoder"))
    with torch.inference_mode():
        operator.load()

    part = (operator.network.network[0] if name.endswith("_encoder") else operator.network).network
    found, prefix = part.state_dict(), "model." if name.startswith("room") else ""
    places = {key: place / 100 for place, key in enumerate(manifest(name))}
    assert set(found) == set(used(name))
    for key, tensor in found.items():
        assert tensor.dtype == torch.float32
        assert tensor.flatten()[0].item() == pytest.approx(places[prefix + key])
    assert not any(parameter.requires_grad or parameter.is_inference() for parameter in operator.parameters())
    assert not part.training
    for file in cache.rglob("*.*"):
        file.unlink()
    operator.load()  # nothing is read a second time


@pytest.mark.parametrize("name", OPERATORS)
def test_a_missing_file_is_found_out_on_loading_and_says_what_to_put_where(name: str) -> None:
    operator = OPERATORS[name]()
    with pytest.raises(ConnectionError, match="Without a network") as refusal:
        operator.load()
    assert f"get {cards()[name].url} elsewhere and put it at {cards()[name].path}" in str(refusal.value)


def test_what_synchronised_normalisation_counts_is_no_weight(tmp_path: Path) -> None:
    name = "ade20k_mobilenetv2_c1_decoder"
    tensors = {key: torch.zeros(shape) for key, shape in manifest(name).items()}
    scratch = {f"cbr.1.{counter}": torch.ones(1) for counter in COUNTERS}
    torch.save(tensors | scratch, tmp_path / "decoder.pth")
    network = read_network(BUILD[name], str(tmp_path / "decoder.pth"))
    assert set(network.state_dict()) == set(used(name))


def test_a_layout_network_can_also_come_from_a_safetensors_file(tmp_path: Path) -> None:
    shapes = manifest("room_layout_lin2018")
    head = {key: torch.zeros(shape) for key, shape in shapes.items() if "planar_seg" in key}
    save_file(head, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"520 weights are missing \(resnet.conv1.weight") as refusal:
        RoomLayout(str(tmp_path / "w.safetensors")).load()
    assert "are not known" not in str(refusal.value)


def test_a_layout_network_whose_weights_lack_their_prefix_is_refused_with_the_prefix(tmp_path: Path) -> None:
    shapes = {key.removeprefix("model."): shape for key, shape in manifest("room_layout_lin2018").items()}
    save_file({key: torch.zeros(shape) for key, shape in shapes.items() if "dec" in key}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"w\.safetensors must name .* 'model\.' before each.* \(planar_seg\.dec1\.w"):
        RoomLayout(str(tmp_path / "w.safetensors")).load()


@pytest.mark.parametrize(
    ("operator", "size", "multiple"), [("kernel_wizard_gopro", 64, 128), ("room_layout_lin2018", 32, 64)]
)
def test_images_of_a_wrong_size_are_refused_before_the_weights_are_asked_for(
    operator: str, size: int, multiple: int
) -> None:
    x = torch.zeros(1, 3, size, size)
    with pytest.raises(ValueError, match=f"multiples of {multiple}, but got {size} x {size}"):
        OPERATORS[operator]().measure(x, NoiseSource(0, [0]))


def parsed(operator: str, network: object) -> Operator:
    """The operator as the command line builds it."""
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Operator, "operator")
    return parser.instantiate(parser.parse_args([f"--operator={operator}", f"--operator.network={network}"])).operator


@pytest.mark.parametrize("operator", ["NonlinearBlur", "RoomLayout"])
@pytest.mark.parametrize("content", [b"<html>Not found</html>", b"class_path: torch.nn.Identity", b"\x80" * 10**6])
def test_a_file_named_on_the_command_line_is_read_by_the_network_alone(
    operator: str, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "page.pth").write_bytes(content)
    built = parsed(operator, tmp_path / "page.pth")
    assert built.network.network is None
    with pytest.raises(ValueError, match=r"page\.pth cannot be read|page\.pth is a"):
        built.load()


def test_a_configuration_can_name_the_class_of_a_network() -> None:
    network = json.dumps({"class_path": "torch.nn.Conv2d", "init_args": dict.fromkeys(SIZES, 3)})
    built = parsed("RoomLayout", network).network.network
    assert isinstance(built, torch.nn.Conv2d)
    assert built.weight.shape == (3, 3, 3, 3)
    assert parsed("RoomLayout", "room_layout_lin2018").network.source == "room_layout_lin2018"


def test_another_network_is_refused_with_the_first_weights_that_differ(tmp_path: Path) -> None:
    path = write_published("ade20k_mobilenetv2_c1_decoder", tmp_path / "other.pth")
    with pytest.raises(
        ValueError, match=r"other.pth holds another network than KernelWizard, which has 145 weights"
    ) as no:
        NonlinearBlur(str(path)).load()
    assert "feature_extractor.0.weight" in str(no.value)
    assert "cbr.0.weight" in str(no.value)


def test_a_layer_of_another_width_is_refused(tmp_path: Path) -> None:
    name = "ade20k_mobilenetv2_c1_decoder"
    shapes = manifest(name) | {"conv_last.weight": [151, 80, 1, 1]}
    torch.save({key: torch.zeros(shape) for key, shape in shapes.items()}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"conv_last.weight \(151, 80, 1, 1\) instead of \(150, 80, 1, 1\)"):
        read_network(BUILD[name], str(tmp_path / "w.pth"))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: NonlinearBlur("kernel_wizard_gpro"), "'kernel_wizard_gpro' .* Did you mean `kernel_wizard_gopro"),
        (
            lambda: RoomLayout("missing/file.ckpt"),
            "missing/file.ckpt is no file and no folder: put it there, .*; the cards are kernel_wiz",
        ),
        (lambda: MobileNetC1(decoder="ade20k_resnet50_c1_decoder"), "is no file and no card. Did you mean `ade20k"),
    ],
)
def test_an_unknown_name_is_refused_at_once(build: Callable[[], object], message: str) -> None:
    with pytest.raises(FileNotFoundError, match=message):
        build()


def test_a_network_works_in_the_precision_asked_for() -> None:
    for part in ("encoder", "decoder"):
        write_published(f"ade20k_mobilenetv2_c1_{part}")
    for dtype in (torch.bfloat16, "bfloat16"):
        network = MobileNetC1(dtype=dtype)
        load_networks(network)
        assert {tensor.dtype for tensor in network.network.state_dict().values()} == {torch.bfloat16}
