"""The files of Xu et al. 2024: what they set, measure and report, against what is known of the paper."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from paper_files import (
    PARTS,
    SMALL,
    command,
    configuration,
    flat,
    marked,
    measured,
    names,
    together,
    without_networks,
    write_pictures,
    written,
)

from dis_lightning.main import main

PAPER = "xu2024"
BLIND = {"edm": {"class_path": "Unguided"}, "cm": {"class_path": "ConsistencySampling"}}
GUIDED = ("dps", "lgd", "freedom", "mpgd", "proposed_1")

# One scale per operator, whatever the method; randomness for operators that are networks.
TASKS = {
    "lsun_bedroom/down_sampling_x4": (14.4, 0.0),
    "lsun_bedroom/segmentation": (256.0, 0.2),
    "lsun_bedroom/layout": (7.2, 0.2),
    "lsun_bedroom/caption": (24.0, 0.2),
    "lsun_cat/classification": (8.0, 0.2),
}
LINEAR_METHODS = ("edm", "dps", "proposed_1", "cm", "proposed_2")
ABLATION = ("proposed_1_no_randomness", "proposed_2_no_randomness")

# Tables 1 to 4, a row per method: the task's own metric, FID, and KID or, for down-sampling, LPIPS and PSNR.
REPORTED = {
    "lsun_bedroom/segmentation": {
        "edm": (0.17, 6.35, 1.4e-3),
        "dps": (0.27, 22.84, 10.1e-3),
        "lgd": (0.22, 35.69, 23.7e-3),
        "freedom": (0.27, 21.90, 9.1e-3),
        "mpgd": (0.24, 82.66, 69.2e-3),
        "proposed_1": (0.34, 18.06, 8.2e-3),
        "cm": (0.18, 20.45, 10.3e-3),
        "proposed_2": (0.32, 32.60, 21.5e-3),
        "proposed_1_no_randomness": (0.31, 19.29),
        "proposed_2_no_randomness": (0.29, 32.93),
    },
    "lsun_bedroom/layout": {
        "edm": (0.38, 6.35, 1.4e-3),
        "dps": (0.54, 7.59, 1.9e-3),
        "lgd": (0.70, 8.07, 2.3e-3),
        "freedom": (0.46, 15.27, 8.1e-3),
        "mpgd": (0.73, 15.38, 8.5e-3),
        "proposed_1": (0.78, 7.50, 2.2e-3),
        "cm": (0.37, 20.45, 10.3e-3),
        "proposed_2": (0.82, 15.43, 8.1e-3),
    },
    "lsun_bedroom/caption": {
        "edm": (21.27, 6.35, 1.4e-3),
        "dps": (22.57, 9.49, 2.6e-3),
        "lgd": (22.58, 8.38, 2.6e-3),
        "freedom": (22.61, 28.30, 18.1e-3),
        "mpgd": (21.49, 21.14, 13.2e-3),
        "proposed_1": (22.63, 8.16, 2.5e-3),
        "cm": (21.40, 20.45, 10.3e-3),
        "proposed_2": (22.56, 14.86, 6.7e-3),
    },
    "lsun_cat/classification": {
        "edm": (0.14, 10.26, 3.1e-3),
        "dps": (0.79, 15.73, 7.1e-3),
        "lgd": (0.64, 13.35, 4.5e-3),
        "freedom": (0.84, 32.32, 17.1e-3),
        "mpgd": (0.37, 15.40, 7.1e-3),
        "proposed_1": (0.90, 13.45, 3.6e-3),
        "cm": (0.12, 27.15, 13.3e-3),
        "proposed_2": (0.92, 27.35, 13.8e-3),
    },
    "lsun_bedroom/down_sampling_x4": {
        "edm": (7936.34, 6.35, 0.73, 9.10),
        "dps": (0.64, 4.82, 0.11, 26.69),
        "proposed_1": (0.15, 5.67, 0.12, 26.91),
        "cm": (8170.16, 20.45, 0.73, 9.49),
        "proposed_2": (0.06, 6.66, 0.14, 26.45),
    },
}
OVERFITTED = {"proposed_1": (0.51, 0.54), "proposed_1_no_randomness": (0.57, 0.43)}
"""Table 3: what the network that guided sees, plain and with its pictures changed at random."""

COST = {"dps": (150.0, 5.35), "proposed_1": (218.0, 6.32), "proposed_2": (72.0, 6.58)}
"""Table 5: seconds and GB."""

JUDGED: dict[str, tuple[str, str]] = {
    "lsun_bedroom/segmentation": ("y_segmentation_xu2024", "y_miou"),
    "lsun_bedroom/layout": ("y_room_layout_xu2024", "y_miou"),
    "lsun_bedroom/caption": ("clip_score", "clip_score"),
    "lsun_cat/classification": ("y_classification_xu2024", "y_accuracy"),
    "lsun_bedroom/down_sampling_x4": ("y_mse", "y_mse"),
}
"""The task's own metric: its small file, and its name."""

OPERATORS: dict[str, tuple[str, dict[str, object]]] = {
    "down_sampling_x4": ("bicubic_x4", {}),
    "segmentation": ("segmentation", {"operator.softmax_twice": True}),
    "layout": ("room_layout", {}),
    "caption": ("caption", {"operator.negative_probability": True}),
    "classification": ("classification_xu2024", {}),
}
"""The task's operator: its small file, and what is changed there."""


def methods(task: str) -> tuple[str, ...]:
    if task.endswith("down_sampling_x4"):
        return LINEAR_METHODS
    return (*BLIND, *GUIDED, "proposed_2", *(ABLATION if task.endswith("segmentation") else ()))


CELLS = [f"{task}/{method}" for task in TASKS for method in methods(task)]
CELLS += [f"lsun_bedroom/down_sampling_x4/cost/{method}" for method in COST]


def split(name: str) -> tuple[str, str, bool]:
    """Task and method of a file, and whether it is one of costs."""
    dataset, task, *cost, method = name.split("/")
    return f"{dataset}/{task}", method, bool(cost)


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
        # Any range but the original one, 3.4 to 25.7.
        "freedom": {"class_path": "FreeDoM", "visits": 2, "travel_range": [0.0, 3.4]},
        "mpgd": {"class_path": "MPGD"},
        "proposed_1": {"class_path": "ConsistencyDPS", "spread": spread, "use_consistency": True},
    }
    return solvers[method.removesuffix("_no_randomness")] | levels | {"scale": scale}


def parts(name: str) -> dict[str, Any]:
    """What a file names beside the solver and the folder, from the small files."""
    task, method, cost = split(name)
    trained = {"lsun_bedroom": "bedroom256", "lsun_cat": "cat256"}[task.partition("/")[0]]
    operator, changes = OPERATORS[task.partition("/")[2]]
    priors = [f"cd_{trained}_lpips" if method.startswith(("cm", "proposed_2")) else f"edm_{trained}"]
    if method.startswith("proposed_1"):
        priors.append(f"cd_{trained}_lpips_consistency")
    metrics = [JUDGED[task][0], *(["y_segmentation_xu2024_model_a"] if method in OVERFITTED and "seg" in task else [])]
    metrics = [] if cost else [*metrics, *(["lpips"] if task.endswith("_x4") else []), "fid_patches", "fid"]
    files = ["data/folder", f"operators/{operator}", *(f"priors/{prior}" for prior in priors)]
    if cost:
        changes = changes | {"data.num_images": 10, "data.batch_size": 1}
    found = together([*files, *(f"callbacks/{metric}" for metric in metrics)], {"data.transform.size": 256} | changes)
    if cost:  # The networks' torsos were in half precision.
        for key in ("denoiser", "consistency"):
            if key in found:
                found[key]["init_args"]["dtype"] = "torch.float16"
    elif task.endswith("_x4"):  # AlexNet alone
        del found["trainer"]["callbacks+"][2]
    return found


def reported(name: str) -> dict[str, float]:
    """What the paper has in a cell, by the metrics' names."""
    task, method, cost = split(name)
    if cost:
        return dict(zip(("seconds", "memory"), COST[method], strict=True))
    last = ("lpips_alex", "psnr") if task.endswith("_x4") else ("kid_patches_64",)
    found = dict(zip((JUDGED[task][1], "fid_patches_64", *last), REPORTED[task][method], strict=False))
    if task.endswith("segmentation") and method in OVERFITTED:
        found |= dict(zip(("y_miou_a", "y_miou_a_noisy"), OVERFITTED[method], strict=True))
    return found


pytestmark = pytest.mark.usefixtures("in_project")


def test_there_is_a_file_for_every_cell_and_no_other() -> None:
    assert names(PAPER) == set(CELLS)


@pytest.mark.parametrize("name", CELLS)
def test_the_command_in_a_file_gives_the_values_that_are_known(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = configuration(command(PAPER, name), capsys)
    task, method, _ = split(name)
    expected = values(method, *TASKS[task]) | {"num_samples": 1}
    assert {key: flat(config["model"])[key] for key in expected} == expected
    where = {"lsun_bedroom": "FOLDER/bedroom", "lsun_cat": "FOLDER/cat"}[task.partition("/")[0]]
    assert config["data"]["init_args"]["root"] == where


@pytest.mark.parametrize("name", CELLS)
def test_a_file_is_whole_and_of_the_small_files_parts(name: str) -> None:
    content = written(f"papers/{PAPER}/{name}")
    assert {key: value for key, value in content.items() if key not in ("model", "writer")} == parts(name)
    source = content["writer"]["reported"].pop("source")
    assert str(source).startswith("Xu et al. 2024, table")
    assert content["writer"] == {"folder": f"outputs/{PAPER}/{name}", "reported": reported(name)}


@pytest.mark.parametrize("name", CELLS)
def test_a_value_that_is_not_known_is_marked(name: str) -> None:
    task, method, cost = split(name)
    unknown = {"freedom": ["visits", "travel_range"], "mpgd": ["scale"], "cm": ["indices"]}.get(method, [])
    told = ["y_miou"] if task.endswith("segmentation") else []
    assert marked(PAPER, name) == (["num_images", "memory"] if cost else [*unknown, *told])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


TOLD = [f"lsun_bedroom/segmentation/{method}" for method in methods("lsun_bedroom/segmentation")]
TOLD += ["lsun_bedroom/down_sampling_x4/dps", "lsun_bedroom/down_sampling_x4/cost/proposed_1"]
TOLD += ["lsun_bedroom/layout/dps", "lsun_bedroom/caption/edm", "lsun_cat/classification/dps"]


@pytest.mark.filterwarnings("ignore:.* images is ")
@pytest.mark.parametrize("name", TOLD)
def test_the_command_in_a_file_measures_all_that_is_reported(
    name: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_networks(monkeypatch)
    _, method, _ = split(name)
    quick = ["--model.levels.steps=3"] if not method.startswith(("cm", "proposed_2")) else []
    quick += ["--model.steps=[2,2]"] if method.startswith("proposed_2") else []
    main([*command(PAPER, name, pictures), *SMALL, *quick, f"--writer.folder={tmp_path}"])

    assert reported(name).keys() <= measured(tmp_path)
    networks = 2 if method.startswith("proposed_1") else 1
    # FreeDoM meets the level of 80 once, that of 2.5 and that of 0.002 twice: they are in its range.
    expected = {"cm": 2, "freedom": 5, "proposed_2": 6, "proposed_2_no_randomness": 6}.get(method, 3 * networks)
    assert yaml.safe_load((tmp_path / "records" / "00000.json").read_text())["cost"]["evaluations"] == expected


@pytest.mark.parametrize("task", TASKS)
def test_later_files_leave_nothing_of_the_earlier_ones(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    operators = {"caption": "rooms_caption", "classification": "classification"}
    operator = operators.get(task.partition("/")[2], "segmentation_resnet50")
    others = [f"--config=configs/{file}.yaml" for file in ("data/rooms", "priors/rooms_pair", f"operators/{operator}")]
    config = configuration([*command(PAPER, f"{task}/proposed_1")[:3], *others, "--trainer.callbacks=null"], capsys)
    alone = configuration(["predict", *others, "--config=configs/solvers/unguided.yaml"], capsys)
    assert {key: config[key] for key in PARTS} == {key: alone[key] for key in PARTS}
    assert config["trainer"] == alone["trainer"]
