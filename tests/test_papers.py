"""The hyper-parameters of the papers, file by file, against the papers' tables as held here."""

import math
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_run import ROOT

from dis_lightning.main import main

FOLDER = ROOT / "configs" / "papers" / "purohit2024"
TASKS = {
    "lsun_bedroom": ("super_resolution_x8", "gaussian_blur", "inpainting_10"),
    "imagenet64": ("super_resolution_x4", "gaussian_blur", "inpainting_20"),
}
Row = tuple[tuple[float, ...] | None, tuple[float, ...] | None, tuple[float, ...]]

# Guided methods: zeta, and M for LGD. Langevin: K, learning rate, tau. One cell per task, in the order above.
FIDELITY: dict[str, dict[str, Row]] = {
    "lsun_bedroom": {
        "dps_dm": ((25,), (7,), (25,)),
        "mpgd_dm": ((25,), (15,), (25,)),
        "lgd_dm": ((25, 1), (25, 10), (7, 25)),
        "dps_cm": ((25,), (7,), (25,)),
        "lgd_cm": ((25, 1), (7, 1), (5, 1)),
        "cmedit": (None, None, ()),
        "langevin_one_step": ((800, 5e-3, 1e-5), (800, 5e-3, 1e-6), (800, 5e-3, 1e-5)),
        "langevin_two_steps": ((800, 5e-3, 1e-5), (800, 5e-3, 1e-7), (800, 5e-3, 1e-5)),
    },
    "imagenet64": {
        "dps_dm": ((20,), (15,), (30,)),
        "lgd_dm": ((3, 10), (1, 10), (5, 10)),
        "dps_cm": ((30,), (30,), (25,)),
        "lgd_cm": ((3, 10), (7, 10), (6, 10)),
        "langevin_one_step": ((800, 1e-2, 5e-4), (800, 1e-2, 3e-5), (800, 1e-2, 1e-4)),
        "langevin_two_steps": ((500, 5e-2, 1e-4), (500, 5e-2, 3e-5), (500, 5e-2, 1e-4)),
    },
}
DIVERSITY: dict[str, dict[str, Row]] = {
    "lsun_bedroom": {
        "langevin_one_step": ((400, 5e-3, 4e-4), (600, 5e-3, 1e-6), (400, 5e-4, 1e-4)),
        "langevin_two_steps": ((600, 5e-3, 4e-4), (600, 5e-3, 1e-5), (800, 5e-3, 1e-4)),
        "dps_dm": ((7,), (7,), (7,)),
        "lgd_dm": ((15, 1), (5, 1), (15, 1)),
        "mpgd_dm": ((15,), (9,), (15,)),
    },
    "imagenet64": {"langevin_one_step": ((800, 1e-2, 9e-4), (800, 1e-2, 5e-5), (800, 1e-2, 4e-4))},
}
OPERATORS = {
    "super_resolution_x8": {"class_path": "AveragePool", "factor": 8},
    "super_resolution_x4": {"class_path": "AveragePool", "factor": 4},
    "gaussian_blur": {"class_path": "GaussianBlur", "kernel_size": 61, "std": 3.0},
    "inpainting_10": {"class_path": "RandomInpainting", "visible": 0.1},
    "inpainting_20": {"class_path": "RandomInpainting", "visible": 0.2},
}


def cells() -> dict[str, tuple[float, ...]]:
    """The numbers of every cell by the name of its file."""
    found = {}
    for middle, table in (("", FIDELITY), ("diversity/", DIVERSITY)):
        for dataset, rows in table.items():
            for method, row in rows.items():
                for task, numbers in zip(TASKS[dataset], row, strict=True):
                    if numbers is not None:
                        found[f"{dataset}/{task}/{middle}{method}"] = numbers
    return found


CELLS = cells()


def values(method: str, numbers: tuple[float, ...]) -> dict[str, Any]:
    """What a cell of a table means for the solver's arguments."""
    family = method.partition("_")[0]
    if family == "langevin":
        indices = [0, 39] if method == "langevin_one_step" else [0, 19, 39]
        warm_start, rate, tau = numbers
        chain = {"kernel.class_path": "EulerMaruyama", "kernel.step_size": tau, "kernel.prior_pull": 1.0}
        chain |= {"burn_in": 0, "thinning": 1, "chains": 1, "levels.indices": indices, "levels.steps": 40}
        return {"class_path": "NoiseSpaceLangevin", "warm_start": warm_start, "learning_rate": rate} | chain
    levels = {"levels.class_path": "KarrasLevels", "levels.steps": 100}
    if family == "cmedit":
        return {"class_path": "CMEdit"} | levels
    levels["transition"] = None  # ancestral Euler
    if family == "dps":
        return {"class_path": "DPS", "scale": numbers[0]} | levels
    if family == "mpgd":
        return {"class_path": "MPGD", "scale": 10 * numbers[0]} | levels
    draws = {"monte_carlo_samples": numbers[1], "reduction.class_path": "SumDistance"}
    draws |= {"spread.class_path": "PosteriorSpread", "spread.data_std": 1.0}
    return {"class_path": "LGD", "scale": numbers[0]} | draws | levels


def command(name: str) -> list[str]:
    """The arguments of the command that stands in a file's first lines."""
    lines = (FOLDER / f"{name}.yaml").read_text().splitlines()
    comment = " ".join(line.strip("# \\") for line in lines if line.startswith("#"))
    program, *arguments = shlex.split(comment[comment.index("dis-lightning predict") :])
    assert program == "dis-lightning"
    return arguments


def flat(part: dict[str, Any]) -> dict[str, Any]:
    """Arguments by dotted name, classes by their own name."""
    named = {"class_path": part["class_path"].rpartition(".")[2]}
    for name, value in part.get("init_args", {}).items():
        if isinstance(value, dict):
            named |= {f"{name}.{key}": inner for key, inner in flat(value).items()}
        else:
            named[name] = value
    return named


@pytest.fixture(autouse=True)
def in_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_there_is_a_file_for_every_cell_and_no_other() -> None:
    files = {file.relative_to(FOLDER).with_suffix("").as_posix() for file in FOLDER.rglob("*.yaml")}
    assert files == set(CELLS)


@pytest.mark.parametrize("name", CELLS)
def test_the_command_in_a_file_gives_the_values_of_the_table(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*command(name), "--print_config"])
    assert stopped.value.code == 0
    config = yaml.safe_load(capsys.readouterr().out)

    dataset, task, *diversity, method = name.split("/")
    # The figures of ImageNet-64 keep the number of samples of its table.
    samples = 25 if diversity and dataset == "lsun_bedroom" else 10
    expected = values(method, CELLS[name]) | {"num_samples": samples}
    model = flat(config["model"])
    assert {key: model[key] for key in expected} == expected

    operator = OPERATORS[task] | {"noise_std": 0.1}
    assert {key: flat(config["operator"])[key] for key in operator} == operator
    trained = {"lsun_bedroom": "bedroom256", "imagenet64": "imagenet64"}[dataset]
    diffusion = method.endswith("_dm")
    prior = {"class_path": "EDM" if diffusion else "ConsistencyModel", "clip": True}
    prior |= {"network": f"edm_{trained}_ema" if diffusion else f"cd_{trained}_lpips"}
    assert {key: flat(config["denoiser"])[key] for key in prior} == prior
    assert flat(config["data"])["num_images"] == 100
    assert config["writer"]["folder"] == f"outputs/purohit2024/{name}"


@pytest.mark.parametrize("method", FIDELITY["lsun_bedroom"])
def test_every_method_runs_on_rooms(method: str, tmp_path: Path) -> None:
    name = f"lsun_bedroom/inpainting_10/{method}"
    arguments = command(name)
    kept = [argument for argument in arguments if argument.startswith(("configs/operators", "configs/papers"))]
    parts = ["configs/data/rooms.yaml", "configs/priors/rooms_gaussian.yaml", *kept]
    small = ["--data.size=16", "--data.num_images=1", "--data.batch_size=1", "--operator.visible=0.1"]
    small += ["--denoiser.size=16", "--denoiser.num_images=20", f"--writer.folder={tmp_path}"]
    quick = ["--model.warm_start=3"] if method.startswith("langevin") else ["--model.levels.steps=3"]
    main(["predict", *(f"--config={part}" for part in parts), *small, *quick, "--trainer.accelerator=cpu"])

    assert len(list(tmp_path.glob("samples/*.png"))) == 10
    evaluations = yaml.safe_load((tmp_path / "records" / "00000.json").read_text())["cost"]["evaluations"]
    steps = {"langevin_one_step": 1 + 3 + 10, "langevin_two_steps": 2 * (1 + 3 + 10)}
    assert math.isclose(evaluations, steps.get(method, 10 * 3))
