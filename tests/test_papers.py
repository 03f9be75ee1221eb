"""The hyper-parameters of Purohit et al. 2024, file by file, against the paper's tables as held here."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from paper_files import configuration, flat, names

from dis_lightning.main import main

PAPER = "purohit2024"
TASKS = {
    "lsun_bedroom": (
        *("super_resolution_x8", "gaussian_blur", "inpainting_10"),
        *("nonlinear_blur", "phase_retrieval", "hdr"),
    ),
    "imagenet64": ("super_resolution_x4", "gaussian_blur", "inpainting_20"),
}
OPERATOR = "configs/operators/random_inpainting_20.yaml"
Row = tuple[tuple[float, ...] | None, ...]

# Guided methods: zeta, and M for LGD. Langevin: K, learning rate, tau. One cell per task, in the order above.
ONE_STEP: Row = (
    *((800, 5e-3, 1e-5), (800, 5e-3, 1e-6), (800, 5e-3, 1e-5)),
    *((800, 5e-3, 5e-6), (200, 1e-3, 1e-6), (800, 5e-3, 1e-6)),
)
TWO_STEPS: Row = (
    *((800, 5e-3, 1e-5), (800, 5e-3, 1e-7), (800, 5e-3, 1e-5)),
    *((500, 5e-3, 5e-6), (500, 1e-7, 1e-6), (500, 5e-3, 1e-6)),
)
FIDELITY: dict[str, dict[str, Row]] = {
    "lsun_bedroom": {
        "dps_dm": ((25,), (7,), (25,), (15,), (10,), (5,)),
        "mpgd_dm": ((25,), (15,), (25,), (7,), (1,), (5,)),
        "lgd_dm": ((25, 1), (25, 10), (7, 25), (9, 10), (1, 10), (30, 10)),
        "dps_cm": ((25,), (7,), (25,), (8,), (9,), (4,)),
        "mpgd_cm": (None, None, None, (15,), (3,), (30,)),
        "lgd_cm": ((25, 1), (7, 1), (5, 1), (15, 10), (0.5, 10), (15, 10)),
        "cmedit": (None, None, (), None, None, None),
        "langevin_one_step": ONE_STEP,
        "langevin_two_steps": TWO_STEPS,
        "langevin_one_step_ei": (None, None, None, ONE_STEP[3], None, None),
        "langevin_two_steps_ei": (None, None, None, TWO_STEPS[3], None, None),
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
# Not known for the tasks that are not linear: those of the fidelity tables there.
DIVERSITY: dict[str, dict[str, Row]] = {
    "lsun_bedroom": {
        "langevin_one_step": ((400, 5e-3, 4e-4), (600, 5e-3, 1e-6), (400, 5e-4, 1e-4), *ONE_STEP[3:]),
        "langevin_two_steps": ((600, 5e-3, 4e-4), (600, 5e-3, 1e-5), (800, 5e-3, 1e-4), *TWO_STEPS[3:]),
        "dps_dm": ((7,), (7,), (7,), (15,), (10,), (5,)),
        "lgd_dm": ((15, 1), (5, 1), (15, 1), (9, 10), (1, 10), (30, 10)),
        "mpgd_dm": ((15,), (9,), (15,), None, None, None),
    },
    "imagenet64": {"langevin_one_step": ((800, 1e-2, 9e-4), (800, 1e-2, 5e-5), (800, 1e-2, 4e-4))},
}
OPERATORS = {
    "super_resolution_x8": {"class_path": "AveragePool", "factor": 8, "noise_std": 0.1},
    "super_resolution_x4": {"class_path": "AveragePool", "factor": 4, "noise_std": 0.1},
    "gaussian_blur": {"class_path": "GaussianBlur", "kernel_size": 61, "std": 3.0, "noise_std": 0.1},
    "inpainting_10": {"class_path": "RandomInpainting", "visible": 0.1, "noise_std": 0.1},
    "inpainting_20": {"class_path": "RandomInpainting", "visible": 0.2, "noise_std": 0.1},
    "nonlinear_blur": {"class_path": "NonlinearBlur", "network": "kernel_wizard_gopro", "noise_std": 0.1},
    "phase_retrieval": {
        "class_path": "PhaseRetrieval",
        "noise_std": 0.05,
        "oversample": 1.0,
        "input_range": [-1.0, 1.0],
    },
    "hdr": {"class_path": "HDR", "scale": 2.0, "noise_std": 0.1},
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
        indices = [0, 39] if "one_step" in method else [0, 19, 39]
        warm_start, rate, tau = numbers
        kernel = {"kernel.class_path": "EulerMaruyama", "kernel.prior_pull": 1.0}
        if method.endswith("_ei"):
            kernel = {"kernel.class_path": "ExponentialIntegrator"}
        chain = (
            kernel
            | {"kernel.step_size": tau}
            | {"burn_in": 0, "thinning": 1, "chains": 1, "levels.indices": indices, "levels.steps": 40}
        )
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


pytestmark = pytest.mark.usefixtures("in_project")


def test_there_is_a_file_for_every_cell_and_no_other() -> None:
    assert names(PAPER) == set(CELLS)


@pytest.mark.parametrize("name", CELLS)
def test_the_command_in_a_file_gives_the_values_of_the_table(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = configuration(PAPER, name, capsys)
    dataset, task, *diversity, method = name.split("/")
    # The figures of ImageNet-64 keep the number of samples of its table.
    samples = 25 if diversity and dataset == "lsun_bedroom" else 10
    expected = values(method, CELLS[name]) | {"num_samples": samples}
    model = flat(config["model"])
    assert {key: model[key] for key in expected} == expected

    operator = OPERATORS[task]
    assert {key: flat(config["operator"])[key] for key in operator} == operator
    trained = {"lsun_bedroom": "bedroom256", "imagenet64": "imagenet64"}[dataset]
    diffusion = method.endswith("_dm")
    prior = {"class_path": "EDM" if diffusion else "ConsistencyModel", "clip": True}
    prior |= {"network": f"edm_{trained}_ema" if diffusion else f"cd_{trained}_lpips"}
    assert {key: flat(config["denoiser"])[key] for key in prior} == prior
    metrics = [flat(callback) for callback in config["trainer"]["callbacks"] or []]
    # In [-1, 1] an image and its negative have the same magnitudes.
    assert metrics == ([{"class_path": "AlignedPSNR", "signs": True}] if task == "phase_retrieval" else [])
    assert flat(config["data"])["num_images"] == 100
    assert config["writer"]["folder"] == f"outputs/purohit2024/{name}"


@pytest.mark.parametrize("method", FIDELITY["lsun_bedroom"])
def test_every_method_runs_on_rooms(method: str, tmp_path: Path) -> None:
    task = {"cmedit": "inpainting_10"}.get(method, "nonlinear_blur")
    file = f"configs/papers/{PAPER}/lsun_bedroom/{task}/{method}.yaml"
    parts = ["configs/data/rooms.yaml", "configs/priors/rooms_gaussian.yaml", OPERATOR, file]
    small = ["--data.size=16", "--data.num_images=1", "--data.batch_size=1", "--denoiser.size=16"]
    small += ["--denoiser.num_images=20", f"--writer.folder={tmp_path}"]
    quick = ["--model.warm_start=3"] if method.startswith("langevin") else ["--model.levels.steps=3"]
    main(["predict", *(f"--config={part}" for part in parts), *small, *quick, "--trainer.accelerator=cpu"])

    assert len(list(tmp_path.glob("samples/*.png"))) == 10
    evaluations = yaml.safe_load((tmp_path / "records" / "00000.json").read_text())["cost"]["evaluations"]
    moves = 1 + 3 + 10
    expected = {"langevin_one_step": moves, "langevin_two_steps": 2 * moves}.get(method.removesuffix("_ei"), 10 * 3)
    assert math.isclose(evaluations, expected)
