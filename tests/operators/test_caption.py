"""Captions by BLIP, here with tiny networks and random weights from folders of the published form."""

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_networks import WORDS, blip_captioner, blip_matcher
from transformers import AutoTokenizer, BlipForConditionalGeneration, BlipForImageTextRetrieval, BlipImageProcessor

from dis_lightning.images import dequantise
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import Caption

CAPTIONS = ["a red bed in the room", "the cat on the bed", "a dog"]


def operator(**changes: Any) -> Caption:
    return Caption(**{"matcher": str(blip_matcher()), "captioner": str(blip_captioner())} | changes)


def bytes_of_images(count: int = 3) -> torch.Tensor:
    shape = (count, 3, 32, 32)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def pixels() -> torch.Tensor:
    """What BLIP's own preprocessing makes of the images."""
    processor = BlipImageProcessor(size={"height": 32, "width": 32})
    return processor(list(bytes_of_images()), return_tensors="pt").pixel_values


def test_the_distance_is_what_transformers_gives_for_the_probability_of_a_match() -> None:
    network = BlipForImageTextRetrieval.from_pretrained(blip_matcher())
    words = AutoTokenizer.from_pretrained(blip_matcher())(CAPTIONS, padding=True, return_tensors="pt")
    with torch.no_grad():
        match = network(**words, pixel_values=pixels()).itm_score.double().softmax(1)[:, 1]
    x = dequantise(bytes_of_images())
    torch.testing.assert_close(operator().distance(x, CAPTIONS).double(), -match.log(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(operator().energy(x, CAPTIONS).double(), -match.log(), rtol=1e-3, atol=1e-4)
    authors = operator(negative_probability=True)
    torch.testing.assert_close(authors.distance(x, CAPTIONS).double(), -match, rtol=1e-3, atol=1e-4)
    assert torch.equal(authors.energy(x, CAPTIONS), operator().energy(x, CAPTIONS))


def test_captions_are_what_transformers_generates_after_the_prompt() -> None:
    network = BlipForConditionalGeneration.from_pretrained(blip_captioner())
    tokenizer = AutoTokenizer.from_pretrained(blip_captioner())
    prompt = tokenizer("a picture of ", return_tensors="pt").input_ids
    truth = []
    for image in pixels():
        said = network.generate(image[None], input_ids=prompt.clone(), num_beams=3, max_length=20, min_length=5)[0]
        assert tokenizer.decode(said[1:4]) == "a picture of"
        truth.append(tokenizer.decode(said[4:], skip_special_tokens=True))
    y = operator().measure(dequantise(bytes_of_images()), NoiseSource(0, [0, 1, 2]))
    assert y == truth
    assert operator(prompt="A Picture of").measure(dequantise(bytes_of_images()), NoiseSource(0, [0, 1, 2])) == truth
    assert len(set(y)) == 3
    assert {word for caption in y for word in caption.split()} <= set(WORDS)


def test_given_captions_go_with_the_image_and_need_no_captioner(tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text("\n".join(CAPTIONS))
    given = operator(captions=tmp_path / "captions.txt", captioner="never/read")
    assert given.measure(dequantise(bytes_of_images(2)), NoiseSource(0, [2, 0])) == [CAPTIONS[2], CAPTIONS[0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_there_is_a_gradient_with_respect_to_the_image(dtype: torch.dtype) -> None:
    x = dequantise(bytes_of_images()).requires_grad_()
    operator(dtype=dtype).distance(x, CAPTIONS).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert (x.grad.flatten(1).norm(dim=1) > 0).all()


def test_a_caption_is_read_the_same_beside_any_other() -> None:
    x, caption = dequantise(bytes_of_images()), operator()
    alone = torch.cat([caption.distance(x[row : row + 1], CAPTIONS[row : row + 1]) for row in range(3)])
    torch.testing.assert_close(caption.distance(x, CAPTIONS), alone, rtol=1e-4, atol=1e-5)


def test_the_picture_of_captions_tells_them_apart() -> None:
    pictures = operator().picture(CAPTIONS[:2])
    assert pictures.shape == (2, 3, 256, 256)
    assert not torch.equal(pictures[0], pictures[1])


def test_a_caption_that_is_too_long_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text("a red bed\n" + " ".join(["red"] * 34))
    with pytest.raises(ValueError, match=r"may have 35 tokens, but 'red red .*' has 36; make it shorter"):
        operator(captions=tmp_path / "captions.txt").load()


def test_networks_that_cannot_be_had_are_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError, match=r"tokenizer of no/such could not be downloaded .*give its folder"):
        operator(matcher="no/such").load()
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt is no file"):
        operator(captions=tmp_path / "nowhere.txt").load()


def test_a_folder_of_another_network_is_told_by_its_keys_and_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    with pytest.raises(ValueError, match=r"than a BlipForConditionalGeneration: 63 weights are missing \(text_decoder"):
        operator(captioner=str(blip_matcher())).load()
    shutil.copytree(blip_matcher(), tmp_path, dirs_exist_ok=True)
    weights = load_file(tmp_path / "model.safetensors")
    save_file(weights | {"itm_head.bias": torch.zeros(3)}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r": 1 differ in shape \(itm_head.bias \(3,\) instead of \(2,\)\)\.$"):
        operator(matcher=str(tmp_path)).load()
    assert not caplog.messages
    assert not logging.getLogger("transformers.modeling_utils").disabled


@pytest.mark.parametrize("part", ["matcher", "captioner"])
@pytest.mark.parametrize("kept", [set(), {"tokenizer_config.json"}])
def test_a_folder_without_a_vocabulary_is_refused_at_the_start(part: str, kept: set[str], tmp_path: Path) -> None:
    source = {"matcher": blip_matcher, "captioner": blip_captioner}[part]()
    for name in {"config.json", "model.safetensors"} | kept:
        shutil.copy(source / name, tmp_path)
    with pytest.raises(ValueError, match=r"tokenizer of .* knows no words: vocab.txt or tokenizer.json is missing"):
        operator(**{part: str(tmp_path)}).load()


@pytest.mark.parametrize("given", [{"beams": 0}, {"max_tokens": 3}, {"max_tokens": 35}, {"min_tokens": -1}])
def test_lengths_and_beams_that_cannot_be_are_refused_at_once(given: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"Caption needs .*{next(iter(given))}.*, but got"):
        operator(**given)


def test_a_prompt_that_leaves_no_room_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match=r"prompt 'a picture of ' has 4 tokens, .* max_tokens=4, prompt included"):
        operator(min_tokens=0, max_tokens=4).load()
    operator(min_tokens=0, max_tokens=5).load()


def test_the_longest_caption_that_can_be_said_can_be_read() -> None:
    longest = operator(prompt="", min_tokens=34, max_tokens=34)
    x = dequantise(bytes_of_images())
    longest.load()
    assert longest.distance(x, [" ".join(["red"] * 33)] * 3).isfinite().all()


def test_a_measurement_that_is_no_list_of_captions_is_refused() -> None:
    with pytest.raises(TypeError, match="a list of strings"):
        operator().distance(dequantise(bytes_of_images()), torch.zeros(3))
