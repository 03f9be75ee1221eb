"""The hyper-parameters of Xu et al. 2024, file by file, against what is known of them."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from paper_files import PAPERS, configuration, flat, names

from dis_lightning.main import main

PAPER = "xu2024"
BLIND = {"edm": {"class_path": "Unguided"}, "cm": {"class_path": "ConsistencySampling"}}
GUIDED = ("dps", "lgd", "freedom", "mpgd", "proposed_1")

# One scale per operator, whatever the method; randomness for operators that are networks.
TASKS: dict[str, tuple[float, float, dict[str, Any]]] = {
    "lsun_bedroom/down_sampling_x4": (14.4, 0.0, {"class_path": "BicubicDownsample", "factor": 4, "noise_std": 0.0}),
    "lsun_bedroom/segmentation": (
        *(256.0, 0.2),
        {"class_path": "Segmentation", "network.class_path": "MobileNetC1", "softmax_twice": True},
    ),
    "lsun_bedroom/layout": (7.2, 0.2, {"class_path": "RoomLayout", "network": "room_layout_lin2018"}),
    "lsun_bedroom/caption": (24.0, 0.2, {"class_path": "Caption", "negative_probability": True}),
    "lsun_cat/classification": (
        *(8.0, 0.2),
        {"class_path": "Classification", "targets": [281, 282, 283, 284, 285], "softmax_twice": True},
    ),
}
LINEAR_METHODS = ("edm", "dps", "proposed_1", "cm", "proposed_2")
ABLATION = ("proposed_1_no_randomness", "proposed_2_no_randomness")


def methods(task: str) -> tuple[str, ...]:
    if task.endswith("down_sampling_x4"):
        return LINEAR_METHODS
    return (*BLIND, *GUIDED, "proposed_2", *(ABLATION if task.endswith("segmentation") else ()))


CELLS = [f"{task}/{method}" for task in TASKS for method in methods(task)]


def values(method: str, scale: float, spread: float) -> dict[str, Any]:
    """What is known of a cell, as the solver's arguments."""
    spread = 0.0 if method.endswith("no_randomness") else spread
    if method.startswith("proposed_2"):
        # 0.1 for the noisy image at level 80 is 0.1 / 80 for the noise.
        inversion = {"learning_rates": [0.1 / 80, 1e-3], "steps": [50, 50], "spread": spread}
        return {"class_path": "ConsistencyInversion", "levels.indices": [0, 17, 39], "levels.steps": 40} | inversion
    if method == "cm":
        return BLIND[method] | {"levels.indices": [0, 17, 39], "levels.steps": 40}
    levels = {"levels.class_path": "KarrasLevels", "levels.steps": 1000, "transition": None}
    if method == "edm":
        return BLIND[method] | levels
    solvers: dict[str, dict[str, Any]] = {
        "dps": {"class_path": "DPS"},
        "lgd": {"class_path": "LGD", "spread": 0.2, "monte_carlo_samples": 1},
        "freedom": {"class_path": "FreeDoM", "visits": 2, "travel_range": [3.4, 25.7]},
        "mpgd": {"class_path": "MPGD"},
        "proposed_1": {"class_path": "ConsistencyDPS", "spread": spread, "use_consistency": True},
    }
    return solvers[method.removesuffix("_no_randomness")] | levels | {"scale": scale}


pytestmark = pytest.mark.usefixtures("in_project")


def test_there_is_a_file_for_every_cell_and_no_other() -> None:
    assert names(PAPER) == set(CELLS)


@pytest.mark.parametrize("name", CELLS)
def test_the_command_in_a_file_gives_the_values_that_are_known(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = configuration(PAPER, name, capsys)
    task, _, method = name.rpartition("/")
    scale, spread, operator = TASKS[task]
    expected = values(method, scale, spread) | {"num_samples": 1}
    assert {key: flat(config["model"])[key] for key in expected} == expected
    assert {key: flat(config["operator"])[key] for key in operator} == operator

    trained = {"lsun_bedroom": "bedroom256", "lsun_cat": "cat256"}[task.partition("/")[0]]
    diffusion = method not in ("cm", "proposed_2", "proposed_2_no_randomness")
    assert flat(config["denoiser"])["network"] == f"edm_{trained}_ema" if diffusion else f"cd_{trained}_lpips"
    if method.startswith("proposed_1"):
        assert flat(config["consistency"])["network"] == f"cd_{trained}_lpips"
    else:
        assert config["consistency"] is None
    data = flat(config["data"])
    assert (data["class_path"], data["num_images"], data["transform.size"]) == ("FolderData", 1000, 256)
    assert config["writer"]["folder"] == f"outputs/{PAPER}/{name}"


@pytest.mark.parametrize("name", CELLS)
def test_a_value_that_is_not_known_is_marked(name: str) -> None:
    text = (PAPERS / PAPER / f"{name}.yaml").read_text()
    unknown = {"freedom": ["visits", "travel_range"], "mpgd": ["scale"], "cm": ["indices"]}
    marked = [line.split(":")[0].strip() for line in text.splitlines() if "# not known" in line]
    assert marked == unknown.get(name.rpartition("/")[2], [])


def reported(name: str) -> dict[str, str | float]:
    values: dict[str, dict[str, float]] = yaml.safe_load((PAPERS / PAPER / f"{name}.yaml").read_text())["writer"][
        "reported"
    ]
    return values


def test_every_file_says_what_the_paper_reports() -> None:
    for name in CELLS:
        source, *values = reported(name).values()
        assert str(source).startswith("Xu et al. 2024, table")
        assert values
    dps = {"clip_score": 22.57, "fid_patches_64": 9.49, "kid_patches_64": 2.6e-3}
    assert reported("lsun_bedroom/caption/dps") == {"source": "Xu et al. 2024, table 1 (1000 images)", **dps}


@pytest.mark.parametrize("method", methods("lsun_bedroom/segmentation"))
def test_every_method_runs_on_a_reading_of_rooms(method: str, tmp_path: Path) -> None:
    file = f"configs/papers/{PAPER}/lsun_bedroom/segmentation/{method}.yaml"
    gaussian = ["--{0}=dis_lightning.rooms.rooms_gaussian", "--{0}.size=16", "--{0}.num_images=20"]
    networks = ("denoiser", "consistency") if method.startswith("proposed_1") else ("denoiser",)
    priors = [argument.format(network) for network in networks for argument in gaussian]
    rooms = ["--config=configs/data/rooms.yaml", "--data.size=16", "--data.num_images=2", "--data.batch_size=2"]
    rooms += ["--operator=dis_lightning.rooms.operators.RoomsSegmentation", f"--config={file}", *priors]
    quick = ["--model.levels.steps=3"] if not method.startswith(("cm", "proposed_2")) else []
    quick += ["--model.steps=[2,2]"] if method.startswith("proposed_2") else []
    main(["predict", *rooms, *quick, f"--writer.folder={tmp_path}", "--trainer.accelerator=cpu"])

    assert len(list(tmp_path.glob("samples/*.png"))) == 2
    # FreeDoM meets the level of 80 once, that of 2.5 once and that of 0.002 once: none is in its range.
    evaluations = {"cm": 2, "proposed_2": 6, "proposed_2_no_randomness": 6}.get(method, 3 * len(networks))
    assert yaml.safe_load((tmp_path / "records" / "00000.json").read_text())["cost"]["evaluations"] == evaluations
