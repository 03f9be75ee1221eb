"""Reading the files of `configs/papers/`, and running them without their networks."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from small_run import ROOT
from torch import Tensor, nn
from torch.nn import functional as F

from dis_lightning.main import main
from dis_lightning.metrics import CLIPFeatures, InceptionFeatures, ResNetFeatures
from dis_lightning.metrics.networks import PerceptualDistance
from dis_lightning.operators import Caption, Classification, RoomLayout, Segmentation
from dis_lightning.priors.checkpoints.pretrained import PretrainedNetwork
from dis_lightning.priors.checkpoints.sources import find
from dis_lightning.rooms import write_folder, write_lmdb
from dis_lightning.weights import LazyNetwork

PAPERS = ROOT / "configs" / "papers"
PARTS = ("data", "operator", "denoiser", "consistency")
SMALL = ["--data.num_images=2", "--data.transform.size=64", "--trainer.accelerator=cpu"]
"""Two images of 64 pixels, the least that patches and layouts take; see `without_networks`."""


def names(paper: str) -> set[str]:
    """All files of a paper, by their path without ending."""
    return {file.relative_to(PAPERS / paper).with_suffix("").as_posix() for file in (PAPERS / paper).rglob("*.yaml")}


def written(file: Path | str) -> dict[str, Any]:
    """What a file of `configs/` says."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "configs" / f"{file}.yaml").read_text())
    return content


def together(files: list[str], changes: Mapping[str, object]) -> dict[str, Any]:
    """What small files of `configs/` say together, with arguments changed by their dotted names."""
    whole: dict[str, Any] = {}
    for file in files:
        for key, value in written(file).items():
            if key == "trainer":
                whole.setdefault(key, {"callbacks+": []})["callbacks+"] += value["callbacks+"]
            else:
                whole[key] = value
    for name, value in changes.items():
        key, *inner, last = name.split(".")
        part = whole[key]["init_args"]
        for argument in inner:
            part = part[argument]["init_args"]
        assert last in part, f"{name} stands in no small file"
        part[last] = value
    return whole


def marked(paper: str, name: str) -> list[str]:
    """The keys whose values a file says are not known."""
    lines = (PAPERS / paper / f"{name}.yaml").read_text().splitlines()
    return [line.split(":")[0].strip() for line in lines if "# not known" in line and not line.startswith("#")]


def command(paper: str, name: str, folder: Path | str = "FOLDER") -> list[str]:
    """The arguments of the command that stands in a file's first lines, for data in a folder."""
    head = [line.strip("# \\") for line in (PAPERS / paper / f"{name}.yaml").read_text().splitlines() if line[0] == "#"]
    text = " ".join(head)
    program, *arguments = shlex.split(text[text.index("dis-lightning predict") :])
    assert program == "dis-lightning"
    return [argument.replace("FOLDER", str(folder)) for argument in arguments]


def configuration(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The whole configuration that a command gives."""
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--print_config"])
    assert stopped.value.code == 0
    whole: dict[str, Any] = yaml.safe_load(capsys.readouterr().out)
    return whole


def flat(part: dict[str, Any]) -> dict[str, Any]:
    """Arguments by dotted name, classes by their own name."""
    named = {"class_path": part["class_path"].rpartition(".")[2]}
    for name, value in part.get("init_args", {}).items():
        if isinstance(value, dict):
            named |= {f"{name}.{key}": inner for key, inner in flat(value).items()}
        else:
            named[name] = value
    return named


def measured(run: Path) -> set[str]:
    """The names of all values of a run."""
    summary = json.loads((run / "metrics.json").read_text())
    return {name for part in summary.values() if isinstance(part, dict) for name in part}


def write_pictures(folder: Path) -> Path:
    """Two rooms where the papers have LSUN and ImageNet."""
    write_lmdb(folder / "bedroom_val_lmdb", 2, size=64)
    write_folder(folder / "rooms", 2, size=64)
    (folder / "val").mkdir()
    for place in ("bedroom", "cat", "val/n01440764"):
        (folder / place).symlink_to(folder / "rooms" / "images")
    return folder


def without_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all published networks look at colours alone, so that they need no weights; priors are of 64 pixels."""

    def nothing(*_: object) -> None: ...

    def colours(_: object, images: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(images.float(), 2).flatten(1)

    def map_of(operator: Segmentation | RoomLayout, x_0: Tensor) -> Tensor:
        return x_0.mean(dim=1, keepdim=True) * torch.linspace(-9, 9, len(operator.classes))[:, None, None]

    def class_of(operator: Classification, x_0: Tensor) -> Tensor:
        return x_0.mean(dim=(1, 2, 3))[:, None] * torch.linspace(-9, 9, len(operator.classes))

    def prior(network: PretrainedNetwork, source: str, *_: object) -> None:
        LazyNetwork.__init__(network, nn.Identity(), source)
        origin = find(source)
        network.shape, network.num_classes = (3, 64, 64), origin.arguments()["num_classes"]
        network.out_channels, network.kind = 3, origin.kind()

    for network in (InceptionFeatures, ResNetFeatures, CLIPFeatures):
        monkeypatch.setattr(network, "load", nothing)
        monkeypatch.setattr(network, "features", colours)
        monkeypatch.setattr(network, "define", lambda _: {})
    monkeypatch.setattr(CLIPFeatures, "words", lambda _, texts, device: torch.ones(len(texts), 12))
    monkeypatch.setattr(PerceptualDistance, "load", nothing)
    monkeypatch.setattr(PerceptualDistance, "__call__", lambda _, x, y: (x - y).square().flatten(1).mean(dim=1))
    monkeypatch.setattr(PerceptualDistance, "define", lambda _: {})
    monkeypatch.setattr(PretrainedNetwork, "__init__", prior)
    monkeypatch.setattr(PretrainedNetwork, "load", nothing)
    monkeypatch.setattr(PretrainedNetwork, "forward", lambda _, x, t, y=None: 0.1 * x)
    monkeypatch.setattr(Caption, "load", nothing)
    monkeypatch.setattr(Caption, "measure", lambda _, x_0, noise: ["a room"] * len(x_0))
    monkeypatch.setattr(Caption, "distance", lambda _, x_0, y: x_0.flatten(1).mean(dim=1))
    for operator, forward in {Segmentation: map_of, RoomLayout: map_of, Classification: class_of}.items():
        monkeypatch.setattr(operator, "load", nothing)
        monkeypatch.setattr(operator, "forward", forward)
