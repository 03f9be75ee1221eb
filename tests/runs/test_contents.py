"""What a run folder is made for, and by which files: neither a user's own folder nor changed files are taken."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_run import SMALL

from dis_lightning.main import main
from dis_lightning.priors import UNet, save_network

SOLVER = ["--config=operators/average_pool_x4", "--config=solvers/dps", "--model.num_samples=2"]
ROOMS = ["--config=data/rooms", "--data.size=8", "--data.num_images=3"]
PRIOR = ["--config=priors/rooms_gaussian", "--denoiser.size=8", "--denoiser.num_images=30", "--model.levels.steps=5"]


def predict(folder: Path, *words: str) -> None:
    main(["predict", *words, "--trainer.accelerator=cpu", f"--writer.folder={folder}"])


def refused(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> str:
    with pytest.raises(SystemExit, match="2"):
        predict(folder, *words)
    return capsys.readouterr().err


def picture(file: Path, seed: int, size: int = 8) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)


def pictures(root: Path) -> list[str]:
    """Arguments for all pictures of a folder, in a batch that they do not fill."""
    data = ["--config=data/folder", f"--data.root={root}", "--data.num_images=null", "--data.batch_size=8"]
    return [*data, "--data.transform=ExactResize", "--data.transform.size=8", *SOLVER, *PRIOR]


def test_a_mask_that_changes_under_its_name_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask, pixels = tmp_path / "mask.png", np.zeros((8, 8), dtype=np.uint8)
    pixels[:4] = 255
    Image.fromarray(pixels).save(mask)
    more = [*SMALL, "--config=operators/mask_inpainting", f"--operator.file={mask}"]
    predict(tmp_path / "run", *more)
    predict(tmp_path / "run", *more)
    Image.fromarray(255 - pixels).save(mask)
    assert "other files than there are now, by the same names: operator.init_args.file" in refused(
        capsys, tmp_path / "run", *more, "--data.num_images=6"
    )
    for damage in ('{"operator', "[]"):
        kept = (tmp_path / "run" / "contents.json").read_text()
        (tmp_path / "run" / "contents.json").write_text(damage)
        assert "contents.json is damaged" in refused(capsys, tmp_path / "run", *more, "--data.num_images=6")
        (tmp_path / "run" / "contents.json").write_text(kept)
    Image.fromarray(pixels).save(mask)
    predict(tmp_path / "run", *more, "--data.num_images=6")


def test_a_mask_of_a_folder_that_changes_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "masks").mkdir()
    white = np.full((8, 8), 255, dtype=np.uint8)
    for index in range(5):
        Image.fromarray(np.tril(white)).save(tmp_path / "masks" / f"{index}.png")
    more = [*SMALL, "--config=operators/mask_inpainting", f"--operator.file={tmp_path / 'masks'}"]
    predict(tmp_path / "run", *more)
    predict(tmp_path / "run", *more)
    Image.fromarray(np.triu(white)).save(tmp_path / "masks" / "4.png")
    assert "by the same names: operator.init_args.file" in refused(capsys, tmp_path / "run", *more)
    before = (tmp_path / "run" / "metrics.json").read_bytes()
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", str(tmp_path / "run"), "--device=cpu"])
    assert "by the same names: operator.init_args.file" in capsys.readouterr().err
    assert (tmp_path / "run" / "metrics.json").read_bytes() == before


def test_weights_and_code_that_change_under_their_names_are_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, code = tmp_path / "net.safetensors", tmp_path / "own_levels_of_mine.py"
    torch.manual_seed(0)
    network = UNet(8, 32, 1, [], [1], num_head_channels=32)
    save_network(network, weights, "posterior mean")
    code.write_text("from dis_lightning.levels import Levels\nimport own_few_of_mine\n\nclass Few(Levels):\n    pass\n")
    helper = tmp_path / "own_few_of_mine.py"
    helper.write_text("from math import pi\n")
    monkeypatch.syspath_prepend(tmp_path)
    levels = ["--model.levels=own_levels_of_mine.Few", "--model.levels.sigmas=[1.0,0.0]"]
    words = [*ROOMS, *SOLVER, *levels, "--denoiser=EDM", f"--denoiser.network={weights}"]
    predict(tmp_path / "run", *words)
    assert sorted(json.loads((tmp_path / "run" / "contents.json").read_text())) == [
        "denoiser.init_args.network",
        "model.init_args.levels.class_path",
    ]
    predict(tmp_path / "run", *words)
    for file, text in ((helper, helper.read_text()), (code, code.read_text())):
        file.write_text(f"{text}\n# other code\n")
        assert "names: model.init_args.levels.class_path" in refused(capsys, tmp_path / "run", *words)
        file.write_text(text)
    predict(tmp_path / "run", *words)
    code.write_text(f"{code.read_text()}\n# other code\n")
    with torch.no_grad():
        network.out[2].bias += 1
    save_network(network, weights, "posterior mean")
    assert "class_path, denoiser.init_args.network" in refused(capsys, tmp_path / "run", *words)
    del sys.modules["own_levels_of_mine"], sys.modules["own_few_of_mine"]


@pytest.mark.parametrize("name", ["results.csv", "samples/00000_00.png", "report.md"])
def test_a_folder_of_ones_own_is_not_written_over(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "mine" / name
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    assert f"is no run folder, and its {name.split('/')[0]} would be written over" in refused(
        capsys, tmp_path / "mine", *SMALL
    )
    assert own.read_text() == "mine"
    own.rename(own.with_name("notes.txt") if own.parent.name == "mine" else tmp_path / "notes.txt")
    if own.parent.name == "samples":
        own.parent.rmdir()
    predict(tmp_path / "mine", *SMALL)


def test_a_run_lies_elsewhere_than_its_data_and_has_a_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture(tmp_path / "a.png", 0)
    for folder in (tmp_path, tmp_path / "deep" / "run"):
        assert "lies among the images of the data" in refused(capsys, folder, *pictures(tmp_path))
    classes = tmp_path / "classes"
    (classes / "n01440764").mkdir(parents=True)
    picture(classes / "n01440764" / "a.png", 0)
    words = [*pictures(classes), "--data=ImageNetData", f"--data.root={classes}"]
    assert "lies among the images of the data" in refused(capsys, classes / "run", *words)


@pytest.mark.parametrize("place", [".", "mine/run"])
def test_what_a_run_has_written_is_not_taken_for_images(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    for file in ("a.png", f"{place}/samples/00000_00.png", f"{place}/sources/00000.png"):
        (images / file).parent.mkdir(parents=True, exist_ok=True)
        picture(images / file, 0)
    (images / place / "records").mkdir()
    (images / place / "config.yaml").touch()
    told = refused(capsys, tmp_path / "run", *pictures(images))
    assert f"{images / place} is a run folder, whose samples and measurements would be taken for images" in told
    predict(tmp_path / "run", *pictures(images / place / "sources"))
    for name in ("", "null"):
        with pytest.raises(SystemExit, match="2"):
            main(["predict", *SMALL, f"--writer.folder={name}"])
        assert "A run needs a folder" in capsys.readouterr().err


def test_pictures_that_come_in_front_of_a_batch_that_was_not_full_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    for seed in range(3):
        picture(tmp_path / "data" / f"b{seed}.png", seed)
    more = pictures(tmp_path / "data")
    predict(tmp_path / "run", *more)
    samples = {file: file.read_bytes() for file in (tmp_path / "run" / "samples").iterdir()}
    picture(tmp_path / "data" / "a.png", 9)
    assert "a.png is image 0 of the data now" in refused(capsys, tmp_path / "run", *more)
    assert {file: file.read_bytes() for file in samples} == samples
    (tmp_path / "data" / "a.png").rename(tmp_path / "data" / "c.png")
    predict(tmp_path / "run", *more)
    assert len(list((tmp_path / "run" / "records").iterdir())) == 4
