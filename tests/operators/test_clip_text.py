"""Guidance by words with CLIP, here a tiny network with random weights from a folder of the published form."""

from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from PIL import Image
from tiny_networks import clip_folder

from dis_lightning.images import dequantise
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import CLIPText

TEXTS = ["a red bed", "a cat on the bed", "nothing at all"]


def operator(**changes: Any) -> CLIPText:
    return CLIPText(**{"text": "a red bed", "name": f"local-dir:{clip_folder()}", "pretrained": None} | changes)


def bytes_of_images(count: int = 3) -> torch.Tensor:
    shape = (count, 3, 32, 32)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def open_clips_cosines() -> tuple[torch.Tensor, float]:
    """The cosine of each image with its text, and the scale, by open_clip's own way from PIL images."""
    network, _, transform = open_clip.create_model_and_transforms(f"local-dir:{clip_folder()}")
    tokens = open_clip.get_tokenizer(f"local-dir:{clip_folder()}")(TEXTS)
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in bytes_of_images()]
    with torch.no_grad():
        images, words, scale = network.eval()(torch.stack([transform(picture) for picture in pictures]), tokens)
    return (images * words).sum(dim=1), scale.item()


def test_distance_and_energy_are_those_of_open_clips_cosine_and_scale() -> None:
    cosines, scale = open_clips_cosines()
    x = dequantise(bytes_of_images())
    torch.testing.assert_close(operator().distance(x, TEXTS), 1 - cosines, rtol=0, atol=1e-5)
    torch.testing.assert_close(operator().energy(x, TEXTS), scale * (1 - cosines), rtol=0, atol=1e-5 * scale)
    assert scale > 10


def test_a_text_is_for_all_images_or_goes_with_the_image(tmp_path: Path) -> None:
    x, noise = dequantise(bytes_of_images(2)), NoiseSource(0, [2, 0])
    assert operator().measure(x, noise) == ["a red bed", "a red bed"]
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    assert operator(text=None, file=tmp_path / "texts.txt").measure(x, noise) == [TEXTS[2], TEXTS[0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_there_is_a_gradient_with_respect_to_the_image(dtype: torch.dtype) -> None:
    x = dequantise(bytes_of_images()).requires_grad_()
    operator(dtype=dtype).distance(x, TEXTS).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert (x.grad.flatten(1).norm(dim=1) > 0).all()


def test_texts_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clip, x = operator(), dequantise(bytes_of_images())
    first = clip.distance(x, TEXTS)

    def read_again(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(open_clip.CLIP, "encode_text", read_again)
    assert torch.equal(clip.distance(x, TEXTS), first)


def test_a_text_that_is_too_long_is_refused_at_the_start_and_the_longest_is_not() -> None:
    operator(text="bed " * 75).load()  # between a start and an end, 77
    with pytest.raises(ValueError, match=r"may have 77 tokens, but 'bed bed .*' has more"):
        operator(text="bed " * 76).load()


def test_networks_that_cannot_be_had_are_said_with_what_to_do() -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere.pt is no file .*; the tags are openai"):
        operator(name="ViT-B-32", pretrained="nowhere.pt").load()
    with pytest.raises(FileNotFoundError, match=r"nowhere/open_clip_config.json is no file"):
        operator(name="local-dir:nowhere").load()
    file = r"open_clip_model.safetensors .* of https://huggingface.co/timm/vit_base_patch32_clip_224.openai elsewhere"
    with pytest.raises(ConnectionError, match=f"The weights 'openai' .* Without a network, get {file}"):
        operator(name="ViT-B-32-quickgelu", pretrained="openai").load()


@pytest.mark.parametrize("given", [{"text": None}, {"text": ""}, {"file": Path("texts.txt")}])
def test_a_text_or_a_file_is_needed_and_not_both(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either a text or a file of texts"):
        operator(**given)
