"""The files of Purohit et al. 2024: what they set, measure and report, against the paper's tables as held here."""

import math
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

# What is reported: PSNR, SSIM, LPIPS and FID, or the scores of diversity and of similarity.
REPORTED = {
    "lsun_bedroom": {
        "dps_dm": """20.4 .538 .470 67.7, 22.1 .589 .407 65.3, 22.4 .634 .417 67.7,
                     21.6 .586 .413 75.7, 10.7 .302 .697 90.1, 21.7 .659 .396 69.6""",
        "mpgd_dm": """19.2 .338 .689 288, 23.6 .579 .438 85.0, 15.4 .176 .667 221,
                      17.0 .194 .683 259, 9.96 .271 .728 118, 20.5 .586 .408 73.2""",
        "lgd_dm": """20.1 .529 .483 69.3, 22.2 .590 .371 60.1, 24.7 .742 .289 47.3,
                     22.3 .632 .408 106, 10.8 .351 .709 82.0, 12.4 .459 .560 172""",
        "dps_cm": """10.7 .077 .758 307, 11.2 .092 .735 279, 19.9 .454 .517 128,
                     17.7 .303 .574 137, 10.1 .197 .726 195, 13.5 .405 .597 173""",
        "mpgd_cm": ",,, 13.1 .100 .762 306, 9.39 .111 .786 312, 11.7 .296 .638 223",
        "lgd_cm": """10.5 .072 .764 316, 11.1 .092 .737 283, 19.9 .475 .514 134,
                     21.3 .519 .482 163, 9.36 .113 .767 186, 11.2 .397 .621 245""",
        "cmedit": ",, 18.0 .523 .548 167,,,",
        "langevin_one_step": """20.4 .535 .418 71.1, 22.4 .598 .368 70.6, 23.8 .682 .358 72.9,
                                20.3 .566 .440 76.7, 10.3 .315 .709 82.9, 19.6 .599 .436 88.0""",
        "langevin_two_steps": """20.5 .534 .433 72.2, 21.3 .554 .421 69.2, 22.2 .611 .419 75.6,
                                 18.7 .501 .492 73.3, 10.2 .309 .708 81.4, 16.6 .481 .532 101""",
        "langevin_one_step_ei": ",,, 20.5 .569 .437 76.3,,",
        "langevin_two_steps_ei": ",,, 18.7 .504 .491 74.2,,",
    },
    "imagenet64": {
        "dps_dm": "21.0 .531 .310 110, 19.2 .429 .348 117, 22.3 .664 .220 89.2",
        "lgd_dm": "21.0 .536 .311 114, 19.6 .432 .352 117, 22.1 .652 .228 96.2",
        "dps_cm": "12.8 .168 .602 267, 9.89 .093 .650 334, 18.9 .470 .371 167",
        "lgd_cm": "12.8 .164 .607 269, 10.1 .097 .668 363, 18.7 .451 .380 173",
        "langevin_one_step": "16.9 .418 .388 129, 18.2 .413 .381 134, 20.3 .600 .304 124",
        "langevin_two_steps": "18.1 .412 .410 151, 17.2 .347 .435 150, 18.6 .458 .439 161",
    },
}
DIVERSE = {
    "dps_dm": "2.14 .843, 2.10 .938, 2.33 .876, 2.22 .924, 2.42 .809, 2.25 .873",
    "lgd_dm": "2.35 .881, 2.19 .925, 2.28 .872, 2.11 .923, 2.36 .815, 3.14 .914",
    "langevin_one_step": "3.01 .879, 3.26 .997, 3.15 .869, 2.80 .912, 3.08 .914, 3.09 .927",
    "langevin_two_steps": "2.67 .919, 2.62 .866, 2.48 .864, 2.69 .885, 2.89 .862, 3.23 .904",
}
FIDELITY_NAMES = ("psnr", "ssim", "lpips_vgg", "fid")
DIVERSITY_NAMES = ("diversity_score", "clip_similarity")

OPERATORS = {
    "super_resolution_x8": "average_pool_x8",
    "super_resolution_x4": "average_pool_x4",
    "gaussian_blur": "gaussian_blur",
    "inpainting_10": "random_inpainting_20",
    "inpainting_20": "random_inpainting_20",
    "nonlinear_blur": "nonlinear_blur",
    "phase_retrieval": "phase_retrieval_purohit2024",
    "hdr": "hdr",
}
"""The small file of each task's operator; 10 % of the pixels is a change of that for 20 %."""

NOT_KNOWN = ("lpips_vgg", "fid", *DIVERSITY_NAMES)
"""What is reported by means that the paper does not tell."""


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


def parts(name: str) -> dict[str, Any]:
    """What a file names beside the solver and the folder, from the small files."""
    dataset, task, *diversity, method = name.split("/")
    data, trained = {"lsun_bedroom": ("lsun_bedroom", "bedroom256"), "imagenet64": ("imagenet64",) * 2}[dataset]
    prior = f"edm_{trained}" if method.endswith("_dm") else f"cd_{trained}_lpips"
    files = [f"data/{data}", f"operators/{OPERATORS[task]}", f"priors/{prior}"]
    squares = ["fid_patches"] if dataset == "lsun_bedroom" else []  # images of 64 pixels are squares themselves
    metrics = ["diversity"] if diversity else ["lpips", "fid", *squares]
    if aligned := task == "phase_retrieval":
        metrics.append("aligned")
    found = together(
        [*files, *(f"callbacks/{metric}" for metric in metrics)],
        {"operator.visible": 0.1} if task == "inpainting_10" else {},
    )
    if aligned:  # In [-1, 1] an image and its negative have the same magnitudes.
        found["trainer"]["callbacks+"][-1]["init_args"]["signs"] = True
    return found


def reported(name: str) -> dict[str, float]:
    """What the paper has in a cell, by the metrics' names; empty where it has nothing."""
    dataset, task, *diversity, method = name.split("/")
    rows = REPORTED[dataset]
    if diversity:
        rows = DIVERSE if dataset == "lsun_bedroom" else {}
    cell = rows.get(method, ",,,,,").split(",")[TASKS[dataset].index(task)]
    given = DIVERSITY_NAMES if diversity else FIDELITY_NAMES
    return dict(zip(given, map(float, cell.split()), strict=True)) if cell.strip() else {}


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
    config = configuration(command(PAPER, name), capsys)
    dataset, _, *diversity, method = name.split("/")
    # The figures of ImageNet-64 keep the number of samples of its table.
    samples = 25 if diversity and dataset == "lsun_bedroom" else 10
    expected = values(method, CELLS[name]) | {"num_samples": samples}
    model = flat(config["model"])
    assert {key: model[key] for key in expected} == expected
    where = {"lsun_bedroom": "FOLDER/bedroom_val_lmdb", "imagenet64": "FOLDER/val"}[dataset]
    assert config["data"]["init_args"]["root"] == where


@pytest.mark.parametrize("name", CELLS)
def test_a_file_is_whole_and_of_the_small_files_parts(name: str) -> None:
    content = written(f"papers/{PAPER}/{name}")
    assert {key: value for key, value in content.items() if key not in ("model", "writer")} == parts(name)
    source = {"source": content["writer"].get("reported", {}).pop("source", None)}
    assert content["writer"].pop("reported", {}) == reported(name)
    assert content["writer"] == {"folder": f"outputs/{PAPER}/{name}"}
    assert not reported(name) or str(source["source"]).startswith("Purohit et al. 2024, table")


@pytest.mark.parametrize("name", CELLS)
def test_what_is_reported_by_unknown_means_is_marked(name: str) -> None:
    assert set(marked(PAPER, name)) - {"steps"} == reported(name).keys() & set(NOT_KNOWN)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


METHODS = {
    f"lsun_bedroom/{'inpainting_10' if m == 'cmedit' else 'nonlinear_blur'}/{m}" for m in FIDELITY["lsun_bedroom"]
}
OTHERS = {f"lsun_bedroom/{case}" for case in ("phase_retrieval/dps_dm", "hdr/diversity/langevin_one_step")}


@pytest.mark.filterwarnings("ignore:.* images is ")
@pytest.mark.parametrize("name", sorted({*METHODS, *OTHERS, "imagenet64/gaussian_blur/langevin_one_step"}))
def test_the_command_in_a_file_measures_all_that_is_reported(
    name: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_networks(monkeypatch)
    task, method = name.split("/")[1], name.split("/")[-1]
    samples = 7 if "diversity" in name else 2
    quick = ["--model.warm_start=3"] if method.startswith("langevin") else ["--model.levels.steps=3"]
    if task == "nonlinear_blur":
        quick.append(f"--config={OPERATOR}")
    run = [f"--writer.folder={tmp_path}", f"--model.num_samples={samples}"]
    main([*command(PAPER, name, pictures), *SMALL, *quick, *run])

    assert reported(name).keys() <= measured(tmp_path)
    evaluations = yaml.safe_load((tmp_path / "records" / "00000.json").read_text())["cost"]["evaluations"]
    moves = 1 + 3 + samples
    expected = {"langevin_one_step": moves, "langevin_two_steps": 2 * moves}
    assert math.isclose(evaluations, expected.get(method.removesuffix("_ei"), samples * 3))


@pytest.mark.parametrize("name", ["lsun_bedroom/phase_retrieval/lgd_cm", "imagenet64/inpainting_20/dps_dm"])
def test_later_files_leave_nothing_of_the_earlier_ones(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["data/rooms", "priors/rooms_gaussian", "operators/jpeg_10"]
    others = [f"--config=configs/{file}.yaml" for file in small]
    config = configuration([*command(PAPER, name)[:3], *others, "--trainer.callbacks=null"], capsys)
    alone = configuration(["predict", *others, "--config=configs/solvers/unguided.yaml"], capsys)
    assert {key: config[key] for key in PARTS} == {key: alone[key] for key in PARTS}
    assert config["trainer"] == alone["trainer"]
