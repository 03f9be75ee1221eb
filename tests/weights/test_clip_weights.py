"""Networks of open_clip: how they want pictures and words, and what comes with weights that are wrong or missing."""

import json
import shutil
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from tiny_networks import clip_folder, squashing_clip

from dis_lightning.images import dequantise
from dis_lightning.metrics.networks.clip import CLIPFeatures
from dis_lightning.operators import CLIPText
from dis_lightning.weights import CLIP
from dis_lightning.weights.clip import resized


def folder(path: Path, change: dict[str, Any]) -> str:
    shutil.copytree(clip_folder(), path, dirs_exist_ok=True)
    weights = torch.load(path / "open_clip_pytorch_model.bin") | change
    kept = {key: value for key, value in weights.items() if value is not None}
    torch.save(kept, path / "open_clip_pytorch_model.bin")
    return f"local-dir:{path}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text_projection": None, "logit_scale": None}, r"2 weights are missing \(text_projection, logit_scale\)\.$"),
        ({f"{n}.weight": torch.ones(1) for n in range(4)}, r"4 are not known \(0.weight, 1.weight, 2.weight, ...\)\.$"),
        ({"text_projection": torch.ones(2, 3)}, r"1 differ in shape \(text_projection \(2, 3\) instead of \(16, 16\)"),
        ({"logit_scale": None, "x": torch.ones(1)}, r"1 weights are missing \(logit_scale\); 1 are not known \(x\)\.$"),
    ],
)
def test_weights_of_another_network_are_told_by_keys(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"another network than local-dir:.* of open_clip: {message}"):
        CLIP(folder(tmp_path, change), None).load()


def test_a_damaged_file_is_said_to_be_unreadable(tmp_path: Path) -> None:
    name = folder(tmp_path, {})
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(b"broken off")
    with pytest.raises(ConnectionError, match=r"could not be read \(.*\)\. Check the names .* the files are whole"):
        CLIP(name, None).load()


def bytes_of_images(height: int, width: int) -> torch.Tensor:
    # Smooth, as photos are: PIL rounds between the two directions.
    coarse = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    return (255 * fine).round().to(torch.uint8)


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(40, 57), (64, 32), (20, 31), (32, 32)])
def test_pictures_are_resized_as_open_clip_does_it(mode: str, interpolation: str, size: tuple[int, int]) -> None:
    images = bytes_of_images(*size)
    wanted = PreprocessCfg(32, mean=(0.0,) * 3, std=(1.0,) * 3, interpolation=interpolation, resize_mode=mode)
    transform = image_transform_v2(wanted, is_train=False)
    theirs = torch.stack([transform(Image.fromarray(image.permute(1, 2, 0).numpy())) for image in images])
    ours = resized(images / 255, (32, 32), interpolation, mode).clamp(0, 1)
    assert (ours - theirs).abs().max() < 1.5 / 255


@pytest.mark.parametrize(("interpolation", "mode"), [("nearest", "squash"), ("bicubic", "crop")])
def test_another_way_to_resize_is_refused(interpolation: str, mode: str) -> None:
    with pytest.raises(ValueError, match=f"but got interpolation={interpolation} and resize_mode={mode}"):
        resized(torch.zeros(1, 3, 8, 8), (4, 4), interpolation, mode)


def test_operator_and_metric_see_what_open_clip_sees() -> None:
    """With another mean and filter than CLIP's, and pictures that are squashed."""
    name, images = f"local-dir:{squashing_clip()}", bytes_of_images(40, 64)
    network, _, transform = open_clip.create_model_and_transforms(name)
    # But for the rounding of PIL, which the test above bounds.
    theirs = transform.transforms[-1](resized(images / 255, (32, 32), "bilinear", "squash").clamp(0, 1))
    with torch.no_grad():
        seen = network.eval().encode_image(theirs, normalize=True)
        told = network.encode_text(open_clip.get_tokenizer(name)(["a red bed"]), normalize=True)
    clip = CLIP(name, None)
    assert torch.allclose(clip.pictures(images / 255, clamp=True), seen, atol=1e-5)
    assert torch.allclose(clip.words(["a red bed"]), told, atol=1e-6)
    cosines = 1 - CLIPText("a red bed", name=name, pretrained=None).distance(dequantise(images), ["a red bed"] * 2)
    assert torch.allclose(cosines, seen @ told[0], atol=1e-5)
    other = CLIP(f"local-dir:{clip_folder()}", None).pictures(images / 255)
    assert not torch.allclose(other, seen, atol=3e-2)


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "weights.safetensors").touch()
    return str(tmp_path / "weights.safetensors")


def test_a_file_is_prepared_for_as_the_tags_of_its_architecture_if_they_agree(file: str) -> None:
    half, siglip = (0.5, 0.5, 0.5), {"interpolation": "bicubic", "resize_mode": "squash"}
    found = CLIP("ViT-B-16-SigLIP", file).check()
    assert found == {"mean": half, "std": half} | siglip
    assert CLIP("ViT-B-32-quickgelu", file).check()["mean"][0] == 0.48145466
    assert CLIPFeatures("ViT-B-16-SigLIP", file).network.check() == found
    with pytest.raises(
        ValueError, match=r"Nothing says how ViT-L-14 with the weights .* as `preprocessing`: one of its"
    ):
        CLIP("ViT-L-14", file).check()
    with pytest.raises(ValueError, match="Nothing says how ViT-L-14"):
        CLIPText("a bed", name="ViT-L-14", pretrained=file).load()
    with pytest.raises(ValueError, match="Nothing says how ViT-L-14"):
        CLIPFeatures("ViT-L-14", file)
    assert CLIP("ViT-L-14", file, "laion2b_s32b_b82k").check()["mean"] == half
    with pytest.raises(ValueError, match=r"'laion2b' is no tag of ViT-L-14. Did you mean .*laion2b_s32b_b82k"):
        CLIP("ViT-L-14", file, "laion2b").check()
    with pytest.raises(ValueError, match=r"the values themselves, such as \{mean: \[0.5"):
        CLIP("ViT-L-14", file, {"mean": half}).check()


def test_what_is_given_reaches_the_network(tmp_path: Path) -> None:
    config = json.loads((clip_folder() / "open_clip_config.json").read_text())
    (tmp_path / "tiny-clip.json").write_text(json.dumps(config["model_cfg"]))
    open_clip.add_model_config(tmp_path)
    weights = str(clip_folder() / "open_clip_pytorch_model.bin")
    with pytest.raises(ValueError, match="Nothing says how tiny-clip"):
        CLIP("tiny-clip", weights).load()
    values = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "interpolation": "bilinear", "resize_mode": "longest"}
    wanted = CLIP("tiny-clip", weights, values).load().visual.preprocess_cfg
    assert {key: wanted[key] for key in values} == values
    assert wanted["size"] == (32, 32)


def test_a_folder_that_does_not_say_how_it_wants_pictures_is_refused(tmp_path: Path) -> None:
    name = folder(tmp_path, {})
    config = json.loads((tmp_path / "open_clip_config.json").read_text())
    del config["preprocess_cfg"]
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="Nothing says how local-dir"):
        CLIP(name, None).load()
    (tmp_path / "open_clip_config.json").write_text("{")
    with pytest.raises(ValueError, match=r"open_clip_config.json is no JSON"):
        CLIP(name, None).load()


@pytest.mark.parametrize(("where", "most"), [(clip_folder, 75), (squashing_clip, 7)])
def test_a_text_is_refused_where_a_word_of_it_would_be_cut_off(where: Any, most: int) -> None:
    """Where the end of a text looks like what it is filled up with, the last token alone does not show it."""
    clip = CLIP(f"local-dir:{where()}", None)
    clip.require(["bed " * most, ""])
    for words in (most + 1, most + 2, 3 * most):
        with pytest.raises(ValueError, match=rf"may have {8 if most == 7 else 77} tokens, but 'bed .*' has more"):
            clip.require(["a bed", "bed " * words])
        with pytest.raises(ValueError, match="has more"):
            clip.words(["bed " * words])
    assert clip.network is None  # the tokenizer alone is read


def test_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree(clip_folder(), tmp_path / "clip")
    assert CLIP("local-dir:~/clip", None).words(["a bed"]).shape == (1, 16)
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}/w.pt is no file"):
        CLIP("ViT-B-32", "~/w.pt").check()
