"""Every YAML that the project ships is run, at a small size."""

import shutil
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import yaml
from PIL import Image
from published_files import mobilenet
from small_run import ROOT

from dis_lightning.data.lists import ImageList
from dis_lightning.main import main
from dis_lightning.operators.networks.published import cards
from dis_lightning.priors import EDM
from dis_lightning.priors.checkpoints.cards import file_cards
from dis_lightning.rooms import write_folder, write_lmdb
from dis_lightning.weights import FileCard

SIZE = 16  # the least at which a room is large enough for the blur's radius
QUICK = ["--trainer.accelerator=cpu", "--data.num_images=2", "--data.batch_size=1", "--data.num_workers=0"]
ROOMS = ["--config=configs/data/rooms.yaml", f"--data.size={SIZE}"]
PRIOR = ["--config=configs/priors/rooms_gaussian.yaml", f"--denoiser.size={SIZE}", "--denoiser.num_images=20"]
MAP = ["--config=configs/priors/rooms_gaussian_consistency.yaml", *PRIOR[1:]]
FITTED = ["--denoiser=dis_lightning.rooms.rooms_gaussian_consistency", *PRIOR[1:]]
OPERATOR = ["--config=configs/operators/average_pool_x4.yaml"]
SOLVER = ["--config=configs/solvers/dps.yaml", "--model.levels.steps=3"]

PUBLISHED = {
    "nonlinear_blur": "kernel_wizard_gopro",
    "room_layout": "room_layout_lin2018",
    "segmentation": "ade20k_mobilenetv2_c1_encoder",
    "segmentation_resnet50": "ade20k_resnet50_ppm_encoder",
}
"""The cards of the networks that operators need first, by the names of their files."""

FROM_OTHERS = {
    "caption": "The tokenizer of Salesforce/blip-itm-base-coco could not be downloaded",
    "classification": "get https://download.pytorch.org/models/resnet50-11ad3fa6.pth elsewhere and put it at",
    "classification_xu2024": "get https://download.pytorch.org/models/resnet50-11ad3fa6.pth elsewhere and put it at",
    "clip_text": "get open_clip_model.safetensors (or open_clip_pytorch_model.bin) of https://huggingface.co/timm/",
}
"""What is said of the networks of other packages, by the names of the files of their operators."""


def files(folder: str) -> list[str]:
    return sorted(file.relative_to(ROOT).as_posix() for file in (ROOT / "configs" / folder).glob("*.yaml"))


def published(file: str) -> FileCard | None:
    """The card of the network that a prior's file names, where it is a published one."""
    part: dict[str, Any] = next(iter(yaml.safe_load((ROOT / file).read_text()).values()))
    return file_cards().get(part.get("init_args", {}).get("network"))


def classes(folder: Path, name: str = "n01440764") -> None:
    """One class, of two pictures; by default one of ImageNet."""
    (folder / name).mkdir(parents=True)
    for picture in ("a", "b"):
        Image.new("RGB", (40, 40)).save(folder / name / f"{picture}.png")


pytestmark = pytest.mark.usefixtures("in_project")


def runs(folder: Path, *args: str) -> None:
    main(["predict", *args, *QUICK, f"--writer.folder={folder}"])
    assert len(list(folder.glob("records/*.json"))) == 2
    assert (folder / "grid.png").exists()


def offline(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """No network, and nothing downloaded before."""

    def refuse(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setenv("TORCH_HOME", str(cache))


TASKS = [file for folder in ("tasks/dps2023", "tasks/daps2025") for file in files(folder)]


@pytest.mark.parametrize(
    "file", [file for file in [*files("operators"), *TASKS] if Path(file).stem not in PUBLISHED | FROM_OTHERS]
)
def test_every_operator_file_runs(file: str, tmp_path: Path) -> None:
    yours = {"mask_inpainting": f"--operator.file={tmp_path / 'mask.png'}"}
    Image.linear_gradient("L").resize((SIZE, SIZE)).save(tmp_path / "mask.png")
    runs(tmp_path / "run", *ROOMS, *PRIOR, f"--config={file}", *SOLVER, *filter(None, [yours.get(Path(file).stem)]))


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_operator_is_found_missing_before_anything_is_sampled(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offline(monkeypatch, tmp_path / "cache")
    monkeypatch.setattr(EDM, "load", lambda *_: None)  # as if the prior's own file were there
    large = ["--config=configs/data/rooms.yaml", "--data.size=256", "--config=configs/priors/edm_bedroom256.yaml"]
    operator = f"--config=configs/operators/{name}.yaml"
    with pytest.raises(SystemExit):
        main(["predict", *large, operator, *SOLVER, *QUICK, f"--writer.folder={tmp_path / 'run'}"])
    card = cards()[PUBLISHED[name]]
    assert f"get {card.url} elsewhere and put it at {card.path}" in capsys.readouterr().err
    assert card.path.is_relative_to(tmp_path)
    assert not (tmp_path / "run" / "samples").exists()


@pytest.mark.parametrize("name", FROM_OTHERS)
def test_networks_of_other_packages_are_found_missing_before_anything_is_sampled(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offline(monkeypatch, tmp_path / "cache")
    monkeypatch.setattr("torch.hub.download_url_to_file", urllib.request.urlopen)
    operator = f"--config=configs/operators/{name}.yaml"
    with pytest.raises(SystemExit):
        main(["predict", *ROOMS, *PRIOR, operator, *SOLVER, *QUICK, f"--writer.folder={tmp_path / 'run'}"])
    assert FROM_OTHERS[name] in capsys.readouterr().err
    assert not (tmp_path / "run" / "samples").exists()


def test_a_published_operator_runs_with_files_from_elsewhere(tmp_path: Path) -> None:
    sources = zip(("encoder", "decoder"), mobilenet().network, strict=True)
    weights = [f"--operator.network.{part}={network.source}" for part, network in sources]
    runs(tmp_path, *ROOMS, *PRIOR, "--config=configs/operators/segmentation.yaml", *weights, *SOLVER)


@pytest.mark.parametrize("file", files("solvers"))
def test_every_solver_file_runs(file: str, tmp_path: Path) -> None:
    quick = {
        "consistency_dps": ["--model.levels.steps=3", *(arg.replace("denoiser", "consistency") for arg in FITTED)],
        "consistency_inversion": ["--model.steps=[2,2]"],
        "consistency_sampling": [],
        "daps": ["--model.levels.steps=3", "--model.moves=2"],
        "daps_likelihood": ["--model.levels.steps=3", "--model.moves=2"],
        "langevin": ["--model.warm_start=2", "--model.num_samples=2"],
        "noise_space_smc": ["--model.particles=4", "--model.stages=2"],
        "pnp_cm": [],
    }
    name = Path(file).stem
    by_map = (
        "cm4ir",
        "cmedit",
        "consistency_inversion",
        "consistency_sampling",
        "langevin",
        "noise_space_smc",
        "pnp_cm",
    )
    prior = MAP if name in by_map else PRIOR
    runs(tmp_path, *ROOMS, *prior, *OPERATOR, f"--config={file}", *quick.get(name, ["--model.levels.steps=3"]))


@pytest.mark.parametrize("file", files("data"))
def test_every_data_file_runs(file: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "tree", 2, size=40)
    write_lmdb(tmp_path / "lmdb", 2, size=40)
    where = {
        "rooms": [f"--data.size={SIZE}"],
        "folder": [f"--data.root={tmp_path / 'tree' / 'images'}", f"--data.transform.size={SIZE}"],
        "imagenet64": [f"--data.root={tmp_path / 'classes'}", f"--data.transform.size={SIZE}"],
        "ffhq256_1k": [f"--data.root={tmp_path / 'tree' / 'images'}", f"--data.transform.size={SIZE}"],
        "ffhq256_100_daps": [f"--data.root={tmp_path / 'tree' / 'images'}", f"--data.transform.size={SIZE}"],
        "imagenet256_100_daps": [f"--data.root={tmp_path / 'tree' / 'images'}", f"--data.transform.size={SIZE}"],
        "lsun_bedroom": [f"--data.root={tmp_path / 'lmdb'}", f"--data.transform.size={SIZE}"],
        "lsun_bedroom_val300": [f"--data.root={tmp_path / 'lmdb'}", f"--data.transform.size={SIZE}"],
        "lsun_cat_last300": [f"--data.root={tmp_path / 'lmdb'}", f"--data.transform.size={SIZE}", "--data.skip=0"],
        "measurement_arrays": [f"--data.root={tmp_path / 'measured'}"],
        "measurements": [f"--data.root={tmp_path / 'measured'}"],
    }
    listed = yaml.safe_load((ROOT / file).read_text())["data"]["init_args"].get("names")
    if listed:
        (tmp_path / "named").mkdir()
        for image in ImageList.read(listed).digests:
            shutil.copy(tmp_path / "tree" / "images" / "00000.png", tmp_path / "named" / image)
        where[Path(file).stem] = [f"--data.root={tmp_path / 'named'}", f"--data.transform.size={SIZE}"]
    assert Path(file).stem in where, f"Say in `where` by which options {file} finds pictures of this test."
    classes(tmp_path / "classes")
    (tmp_path / "measured").mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (SIZE // 4, SIZE // 4)).save(tmp_path / "measured" / f"{name}.png")
        np.save(tmp_path / "measured" / name, np.zeros((3, SIZE // 4, SIZE // 4)))
    runs(tmp_path / "run", f"--config={file}", *where[Path(file).stem], *PRIOR, *OPERATOR, *SOLVER)


def hub_id(file: str) -> str | None:
    """The repository that a prior's file names, where it is one of the hub."""
    network = yaml.safe_load((ROOT / file).read_text()).get("denoiser", {}).get("init_args", {}).get("network", "")
    return network if "/" in network else None


@pytest.mark.parametrize("file", [file for file in files("priors") if hub_id(file)])
def test_every_repository_is_found_missing_before_anything_is_sampled(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offline(monkeypatch, tmp_path / "cache")
    with pytest.raises(SystemExit):
        main(["predict", *ROOMS, f"--config={file}", *OPERATOR, *SOLVER, *QUICK, f"--writer.folder={tmp_path / 'run'}"])
    assert f"the repository https://huggingface.co/{hub_id(file)}" in capsys.readouterr().err
    assert not (tmp_path / "run" / "samples").exists()


@pytest.mark.parametrize("file", [file for file in files("priors") if not published(file) and not hub_id(file)])
def test_every_prior_file_runs(file: str, tmp_path: Path) -> None:
    small = PRIOR[1:] if "gaussian" in file else []
    size = SIZE if "gaussian" in file else 32
    data = ["--config=configs/data/rooms.yaml", f"--data.size={size}"]
    solver = [arg.replace("/dps", "/consistency_dps") for arg in SOLVER] if "pair" in file else SOLVER
    if "gaussian_consistency" in file:
        solver = ["--config=configs/solvers/consistency_sampling.yaml"]
    runs(tmp_path, *data, f"--config={file}", *small, *OPERATOR, *solver)


@pytest.mark.parametrize("file", [file for file in files("priors") if published(file)])
def test_every_published_prior_is_found_missing_before_anything_is_sampled(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offline(monkeypatch, tmp_path / "cache")
    beside = SOLVER
    if file.endswith("_consistency.yaml"):
        monkeypatch.setattr(EDM, "load", lambda *_: None)  # as if the denoiser's own file were there
        denoiser = file.replace("/cd_", "/edm_").replace("_lpips_consistency", "")
        beside = [f"--config={denoiser}", "--config=configs/solvers/consistency_dps.yaml"]

    card = published(file)
    assert card is not None
    data = ROOMS
    if card.arguments.get("num_classes"):
        classes(tmp_path / "classes", *(["3"] if "cifar10" in file else []))
        data = ["--config=configs/data/imagenet64.yaml", f"--data.root={tmp_path / 'classes'}"]

    run = [f"--writer.folder={tmp_path / 'run'}", "--model.levels.sigma_min=0.01"]
    with pytest.raises(SystemExit):
        main(["predict", *data, f"--config={file}", *OPERATOR, *beside, *QUICK, *run])

    assert f"get {card.url} elsewhere and put it at {card.path}" in capsys.readouterr().err
    assert card.path.is_relative_to(tmp_path)
    assert not (tmp_path / "run" / "samples").exists()


@pytest.mark.parametrize("file", files("trainer"))
def test_every_trainer_file_is_understood(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    # The processes themselves run in test_runs.py; here they would start pytest again.
    with pytest.raises(SystemExit):
        main(["predict", *ROOMS, *PRIOR, *OPERATOR, *SOLVER, f"--config={file}", "--print_config"])
    assert "strategy: ddp" in capsys.readouterr().out


def test_the_quickstart_runs(tmp_path: Path) -> None:
    runs(tmp_path, "--config=configs/quickstart.yaml", "--model.levels.steps=3")
