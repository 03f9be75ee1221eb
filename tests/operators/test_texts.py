"""Texts as measurements: one for each image, known by the image's index."""

from pathlib import Path

import pytest
import torch
from lightning import Trainer
from tiny_networks import blip_matcher, clip_folder

from dis_lightning.errors import UserError
from dis_lightning.levels import KarrasLevels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import Caption, CLIPText
from dis_lightning.operators.texts import read_texts, text_of_each, texts
from dis_lightning.priors import EDM, GaussianPrior
from dis_lightning.rooms import RoomsData
from dis_lightning.solvers import Unguided
from dis_lightning.types import State


def test_an_image_has_the_line_of_its_index_in_any_batch_and_for_every_sample() -> None:
    lines = ["zero", "one", "two", "three"]
    assert text_of_each(lines, NoiseSource(5, [3, 0, 2])) == ["three", "zero", "two"]
    assert text_of_each(lines, NoiseSource(5, [1]).samples(2)) == ["one", "one"]


def test_an_image_beyond_the_last_line_is_refused() -> None:
    with pytest.raises(ValueError, match=r"texts for 2 images and 8 are to come; add lines .*num_images=2"):
        text_of_each(["zero", "one"], NoiseSource(0, [0, 7]))


def test_a_file_with_too_few_lines_is_refused_before_anything_is_sampled(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("zero\none\n")
    words = [
        CLIPText(file=tmp_path / "texts.txt", name=f"local-dir:{clip_folder()}", pretrained=None),
        Caption(str(blip_matcher()), captions=tmp_path / "texts.txt"),
    ]
    words[0].require(["a", "b"])
    words[0].load()
    prior = GaussianPrior(torch.zeros(3, 8, 8), torch.eye(192))
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, inference_mode=False)
    for operator in words:
        solver, steps = Unguided(operator, prior, KarrasLevels(2)), list[State]()
        solver.observers.append(steps.append)
        with pytest.raises(ValueError, match="texts for 2 images and 3 are to come"):
            trainer.predict(solver, RoomsData(size=8, num_images=3, batch_size=1))
        assert not steps


def test_a_file_of_texts_is_looked_at_before_anything_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(*_: object) -> None:
        pytest.fail("went to the network")

    monkeypatch.setattr("urllib.request.urlopen", download)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "short.txt").write_text("zero\n")
    (tmp_path / "latin.txt").write_bytes("caf\xe9\n".encode("latin-1"))
    told = {"short": "texts for 1 images and 2 are to come", "missing": "is no file: put", "latin": "no text in UTF-8"}
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, inference_mode=False)
    for name, message in told.items():
        for operator in (CLIPText(file=tmp_path / f"{name}.txt"), Caption(captions=tmp_path / f"{name}.txt")):
            solver = Unguided(operator, EDM("edm_bedroom256_ema"), KarrasLevels(2))
            with pytest.raises(UserError, match=message):
                trainer.predict(solver, RoomsData(size=256, num_images=2, batch_size=1))


def test_lines_are_read_without_the_blanks_around_them(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("a café \n  two words\n", encoding="utf-8")
    assert read_texts(tmp_path / "texts.txt") == ("a café", "two words")


@pytest.mark.parametrize(("content", "message"), [("", "it is empty"), ("one\n\nthree\n", "line 2 is empty")])
def test_a_file_with_no_or_empty_lines_is_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_texts(tmp_path / "texts.txt")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt is no file: put a text in each line, .* there"):
        read_texts(tmp_path / "nowhere.txt")


def test_measurements_of_another_kind_or_number_are_refused() -> None:
    with pytest.raises(TypeError, match=r"a list of strings, but got a tensor of shape \(2,\)"):
        texts(torch.zeros(2), 2)
    with pytest.raises(ValueError, match="2 images and 1 texts came"):
        texts(["one"], 2)
