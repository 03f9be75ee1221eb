"""The files of Garber and Tirer 2025: the commands of the authors' script, as held here."""

from pathlib import Path

import pytest
from paper_files import SMALL, command, configuration, flat, names, without_networks, write_pictures

from dis_lightning.levels import GrowingSignalLevels
from dis_lightning.main import main

PAPER = "cm4ir2025"

# noise of [0, 1], start, growth, ridge
SCRIPT: dict[str, tuple[float, int, float, float]] = {
    "lsun_bedroom/super_resolution_x4/noise_0025": (0.025, 400, 0.7, 0),
    "lsun_bedroom/gaussian_blur/noise_0025": (0.025, 75, 0.01, 3),
    "lsun_bedroom/inpainting_20/noise_0025": (0.025, 150, 0.2, 0),
    "lsun_bedroom/inpainting_text/noise_0025": (0.025, 150, 0.2, 0),
    "lsun_bedroom/super_resolution_x4/noise_005": (0.05, 250, 0.2, 0),
    "lsun_bedroom/gaussian_blur/noise_005": (0.05, 150, 0.05, 1),
    "lsun_bedroom/inpainting_20/noise_005": (0.05, 150, 0.2, 0),
    "lsun_bedroom/inpainting_20/noiseless": (0.0, 150, 0.2, 0),
    "lsun_cat/super_resolution_x4/noise_0025": (0.025, 400, 0.7, 0),
    "lsun_cat/gaussian_blur/noise_0025": (0.025, 125, 0.05, 4),
    "lsun_cat/inpainting_20/noise_0025": (0.025, 150, 0.2, 0),
    "lsun_cat/super_resolution_x4/noise_005": (0.05, 250, 0.2, 0),
    "lsun_cat/gaussian_blur/noise_005": (0.05, 250, 0.2, 1),
    "lsun_cat/inpainting_20/noise_005": (0.05, 150, 0.2, 0),
    "imagenet64/super_resolution_x2/noise_001": (0.01, 50, 0.01, 0),
    "imagenet64/super_resolution_x2/noise_0025": (0.025, 75, 0.02, 0),
    "imagenet64/super_resolution_x2/noise_005": (0.05, 100, 0.03, 0),
}
OPERATORS = {
    "super_resolution_x4": {"class_path": "BicubicDownsample", "factor": 4},
    "super_resolution_x2": {"class_path": "BicubicDownsample", "factor": 2},
    "gaussian_blur": {"class_path": "GaussianBlur", "kernel_size": 5, "std": 10.0},
    "inpainting_20": {"class_path": "RandomInpainting", "visible": 0.2},
    "inpainting_text": {"class_path": "MaskInpainting"},
}
NETWORKS = {
    "lsun_bedroom": "cd_bedroom256_lpips",
    "lsun_cat": "cd_cat256_lpips",
    "imagenet64": "cd_imagenet64_lpips",
}

pytestmark = pytest.mark.usefixtures("in_project")


def test_there_is_a_file_for_every_command_and_no_other() -> None:
    assert names(PAPER) == set(SCRIPT)


@pytest.mark.parametrize("name", SCRIPT)
def test_the_command_in_a_file_gives_the_values_of_the_script(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = configuration(command(PAPER, name), capsys)
    dataset, task, _ = name.split("/")
    noise, start, growth, ridge = SCRIPT[name]
    model, operator = flat(config["model"]), flat(config["operator"])
    expected = {"class_path": "CM4IR", "ridge": ridge, "eta": 0.1, "deltas": None, "num_samples": 1}
    expected |= {"levels.start": start, "levels.growth": growth, "levels.steps": 4}
    assert {key: model[key] for key in expected} == expected
    # The script's noise is in units of [0, 1], and the authors' code doubles it for images in [-1, 1].
    wanted = OPERATORS[task] | {"noise_std": 2 * noise}
    assert {key: operator[key] for key in wanted} == wanted
    assert config["denoiser"]["init_args"]["network"] == NETWORKS[dataset]
    assert config["writer"]["folder"] == f"outputs/{PAPER}/{name}"
    GrowingSignalLevels(start, growth)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.mark.filterwarnings("ignore:.* images is ")
@pytest.mark.parametrize("name", ["lsun_bedroom/gaussian_blur/noise_0025", "imagenet64/super_resolution_x2/noise_001"])
def test_the_command_in_a_file_runs(name: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_networks(monkeypatch)
    main([*command(PAPER, name, pictures), *SMALL, f"--writer.folder={tmp_path}"])
    assert len(list(tmp_path.glob("records/*.json"))) == 2
