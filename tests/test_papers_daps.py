"""The files of Chung et al. 2023 (DPS) and Zhang et al. 2025 (DAPS): the values of the authors' files, as held here."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paper_files import PAPERS, SMALL, command, configuration, flat, names, together, without_networks, write_pictures
from small_run import ROOT

from dis_lightning.data.lists import ImageList
from dis_lightning.levels import KarrasLevels
from dis_lightning.main import main
from dis_lightning.solvers.daps import DecayingReach

# conditioning.params.scale of configs/*_config.yaml, for 1000 steps of DDPM on the linear schedule.
DPS: dict[str, float] = {
    "super_resolution_x4": 0.3,
    "box_inpainting": 0.5,
    "random_inpainting": 0.5,
    "random_inpainting_92": 0.5,
    "gaussian_blur": 0.3,
    "motion_blur": 0.3,
    "nonlinear_blur": 0.3,
    "phase_retrieval": 1.0,
}
# pixel.mcmc_sampler_config of configs/task/*.yaml: lr and num_steps; tau is 0.01 and lr_min_ratio 0.01 in all.
DAPS: dict[str, tuple[float, int]] = {
    "super_resolution_x4": (1e-4, 100),
    "box_inpainting": (5e-5, 100),
    "random_inpainting_70": (1e-4, 100),
    "gaussian_blur": (1e-4, 100),
    "motion_blur": (5e-5, 100),
    "nonlinear_blur": (1e-5, 200),
    "phase_retrieval": (5e-5, 100),
    "hdr": (2e-5, 100),
}
NOISE = 0.05
OPERATORS: dict[str, dict[str, Any]] = {
    "super_resolution_x4": {"class_path": "BicubicDownsample", "factor": 4},
    "box_inpainting": {"class_path": "BoxInpainting", "size": 128 / 256},
    "random_inpainting": {"class_path": "RandomInpainting", "visible": [0.3, 0.7], "per_image": True},
    "random_inpainting_92": {"class_path": "RandomInpainting", "visible": 0.08, "per_image": True},
    "random_inpainting_70": {"class_path": "RandomInpainting", "visible": [0.29, 0.3], "per_image": False},
    "gaussian_blur": {"class_path": "GaussianBlur", "kernel_size": 61, "std": 3.0},
    "motion_blur": {"class_path": "MotionBlur", "kernel_size": 61, "intensity": 0.5},
    "nonlinear_blur": {"class_path": "NonlinearBlur"},
    "phase_retrieval": {"class_path": "PhaseRetrieval", "oversample": 2.0},
    "hdr": {"class_path": "HDR", "scale": 2.0},
}
SEEDED = np.random.RandomState(42)
"""As in configs/default.yaml of DAPS, whose code draws a corner from pixel 32 to 95, first the row."""
OWN: dict[tuple[str, str], dict[str, Any]] = {
    ("dps2023", "box_inpainting"): {"margin": 16 / 256, "position": None},
    ("daps2025", "box_inpainting"): {"position": [SEEDED.randint(32, 96) / 256, SEEDED.randint(32, 96) / 256]},
    ("dps2023", "nonlinear_blur"): {"resample": True, "kernel_seed": None},
    ("daps2025", "nonlinear_blur"): {"resample": False, "kernel_seed": 0},
    ("dps2023", "phase_retrieval"): {"input_range": [-1.0, 1.0]},
    ("daps2025", "phase_retrieval"): {"input_range": [0.0, 1.0]},
}
CLIP = {"dps2023": True, "daps2025": False}
"""diffusion_config.yaml of DPS; model/precond.py of DAPS, which leaves the estimates as they are."""
NETWORKS = {"ffhq256": "ffhq_256", "imagenet256": "imagenet256_uncond"}
CELLS = [f"dps2023/ffhq256/{task}" for task in DPS] + [f"daps2025/{data}/{task}" for data in NETWORKS for task in DAPS]

pytestmark = pytest.mark.usefixtures("in_project")


def test_there_is_a_file_for_every_cell_and_no_other() -> None:
    assert {f"{paper}/{name}" for paper in ("dps2023", "daps2025") for name in names(paper)} == set(CELLS)


@pytest.mark.parametrize("cell", CELLS)
def test_the_command_in_a_file_gives_the_values_of_the_authors(cell: str, capsys: pytest.CaptureFixture[str]) -> None:
    paper, dataset, task = cell.split("/")
    config = configuration(command(paper, f"{dataset}/{task}"), capsys)
    wanted = OPERATORS[task] | {"noise_std": NOISE} | OWN.get((paper, task), {})
    operator = flat(config["operator"])
    assert {key: operator[key] for key in wanted} == wanted
    prior = flat(config["denoiser"])
    assert (prior["class_path"], prior["network"], prior["clip"]) == ("VP", NETWORKS[dataset], CLIP[paper])
    assert config["writer"]["folder"] == f"outputs/{cell}"
    model = flat(config["model"])
    if paper == "dps2023":
        expected: dict[str, Any] = {"class_path": "DPS", "scale": DPS[task], "convention.class_path": "VPScale"}
        expected |= {"levels.class_path": "VPLevels", "levels.steps": 1000, "levels.schedule": "linear"}
    else:
        rate, moves = DAPS[task]
        expected = {"class_path": "DAPS", "kernel.class_path": "EulerMaruyama", "kernel.step_size": rate}
        expected |= {"moves": moves, "flow_steps": 5, "flow_sigma_min": 0.01, "levels.steps": 200}
        # They assume noise of tau / sqrt(2).
        expected |= {"likelihood_weight": pytest.approx(NOISE**2 / (0.01**2 / 2))}
        expected |= {"num_samples": 4 if task == "phase_retrieval" else 1}
    assert {key: model[key] for key in expected} == expected


@pytest.mark.parametrize("dataset", NETWORKS)
@pytest.mark.parametrize("task", DAPS)
def test_levels_and_step_sizes_are_those_of_the_code(task: str, dataset: str) -> None:
    """cores/scheduler.py has 201 levels, the last of which becomes 0; step s of sampler.py is of the share s / 201."""
    model = together([f"papers/daps2025/{dataset}/{task}"], {})["model"]["init_args"]
    levels, reach = KarrasLevels(**model["levels"]["init_args"]), DecayingReach(**model["reach"]["init_args"])
    steps, top, bottom = np.arange(200), 100.0 ** (1 / 7), 0.1 ** (1 / 7)
    assert levels[:] == pytest.approx([*(top + steps / 200 * (bottom - top)) ** 7, 0.0], rel=1e-4)
    shares = [reach(sigma) ** 2 for sigma in levels[:-1]]
    assert shares == pytest.approx(1 - (1 - 0.01) * steps / 201, rel=1e-3)


@pytest.mark.parametrize("cell", CELLS)
def test_a_file_is_its_small_files_together(cell: str) -> None:
    paper, dataset, task = cell.split("/")
    small = together([f"tasks/{paper}/{task}", f"priors/{NETWORKS[dataset]}"], {"denoiser.clip": CLIP[paper]})
    whole = together([f"papers/{cell}"], {})
    assert {part: whole[part] for part in small} == small
    assert (PAPERS / f"{cell}.yaml").exists()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_pictures(tmp_path_factory.mktemp("pictures"))
    for place in ("00000", "test-ffhq", "test-imagenet"):
        (folder / place).symlink_to(folder / "rooms" / "images")
    return folder


@pytest.mark.filterwarnings("ignore:.* images is ")
@pytest.mark.parametrize("cell", ["dps2023/ffhq256/phase_retrieval", "daps2025/imagenet256/hdr"])
def test_the_command_in_a_file_runs(cell: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_networks(monkeypatch)
    paper, name = cell.split("/", 1)
    main([*command(paper, name, pictures), *SMALL, "--model.levels.steps=3", f"--writer.folder={tmp_path}"])
    assert len(list(tmp_path.glob("records/*.json"))) == 2


def test_lists_that_ship_are_those_that_they_say() -> None:
    thousand = ImageList.read("imagenet_1k_dgp").digests
    assert len(thousand) == 1000
    assert list(thousand)[:2] == ["ILSVRC2012_val_00000293.JPEG", "ILSVRC2012_val_00000236.JPEG"]
    hundred = ImageList.read("imagenet_100_diffpir").digests
    # Theirs are every tenth of the thousand, sorted, but for two: 141 is left out, and 502 taken.
    assert set(sorted(thousand)[::10]) ^ set(hundred) == {f"ILSVRC2012_val_00000{n}.JPEG" for n in (141, 502)}
    assert list(ImageList.read("ffhq_100_diffpir").digests) == [f"{n}.png" for n in range(69007, 70000, 10)]
    with pytest.raises(
        FileNotFoundError, match=r"or to one of ffhq_100_diffpir, imagenet_100_diffpir, imagenet_1k_dgp"
    ):
        ImageList.read("imagenet_2k")
    assert (ROOT / "dis_lightning" / "data" / "known").is_dir()
