"""Rows of the tables on rooms are runs of the command line, and shipped studies hold what they say."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from rooms_study import solver, write_study
from torchvision.transforms.v2.functional import pil_to_tensor

from dis_lightning.main import main
from studies import rooms_classical, rooms_semantic
from studies.rooms_rows import Study, build, reconstruct, tuned_file

SHIPPED = {"classical": rooms_classical.STUDY, "semantic": rooms_semantic.STUDY}


@pytest.mark.parametrize("file", SHIPPED.values(), ids=SHIPPED)
def test_every_row_that_ships_can_be_built(file: Path) -> None:
    study = Study.read(file)
    first = next(iter(study.problems))
    pairs = [(first, name) for name in study.solvers] + [(problem, "DPS") for problem in study.problems]
    for problem, name in pairs:
        images, built = build(study.configuration(problem, name))
        assert type(built.operator).__name__ == study.problems[problem]["class_path"].rpartition(".")[2]
        assert type(built).__name__ == study.solvers[name]["model"]["class_path"]
        assert images.num_images == study.data["init_args"]["num_images"]


@pytest.mark.parametrize("file", SHIPPED.values(), ids=SHIPPED)
def test_step_sizes_are_tuned_on_rooms_of_which_none_is_in_the_table(file: Path) -> None:
    study = Study.read(file)
    assert study.tuning["init_args"]["split"] not in ("train", study.data["init_args"]["split"])
    guided = [name for name, parts in study.solvers.items() if "scale" in parts["model"]["init_args"]]
    assert set(guided) <= set(filter(study.tuned, study.solvers))
    if tuned_file(file).exists():
        record = yaml.safe_load(tuned_file(file).read_text())
        assert {key: record[key] for key in ("split", "num_images")} == {
            key: study.tuning["init_args"][key] for key in ("split", "num_images")
        }


@pytest.mark.parametrize("file", SHIPPED.values(), ids=SHIPPED)
def test_the_factors_that_ship_are_the_best_of_those_tried(file: Path) -> None:
    for row in Study.read(file).choices.values():
        for choice in row.values():
            tried = {factor: -math.inf if math.isnan(value) else value for factor, value in choice.scores.items()}
            assert tried[choice.factor] == max(tried.values())


def test_the_command_line_gives_the_samples_of_the_row(tmp_path: Path) -> None:
    configuration = Study.read(write_study(tmp_path)).configuration("pool", "MPGD")
    file = tmp_path / "row.yaml"
    file.write_text(yaml.safe_dump(configuration))
    main(["predict", f"--config={file}", f"--writer.folder={tmp_path / 'run'}", "--trainer.accelerator=cpu"])

    samples = torch.cat([reconstruction.draws.samples[:, 0] for reconstruction, _ in reconstruct(configuration)])
    for index, sample in enumerate(samples):
        saved = pil_to_tensor(Image.open(tmp_path / "run" / "samples" / f"{index:05d}_00.png"))
        assert torch.equal(saved, sample)


def arguments(configuration: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = configuration["model"]["init_args"]
    return found


def test_a_factor_scales_what_is_tuned_and_nothing_else(tmp_path: Path) -> None:
    kernel = {"class_path": "MALA", "init_args": {"step_size": 0.3}}
    chain = solver("NoiseSpaceLangevin", ("kernel.init_args.step_size",), kernel=kernel, learning_rate=0.5)
    steps = solver("ConsistencyInversion", ("learning_rates",), learning_rates=[0.1, 0.02], steps=[1, 2])
    study = Study.read(write_study(tmp_path, solvers={"chain": chain, "inversion": steps}))

    scaled = arguments(study.configuration("pool", "chain", 4.0))
    assert scaled["kernel"]["init_args"] == {"step_size": 1.2}
    assert scaled["learning_rate"] == 0.5
    assert arguments(study.configuration("pool", "inversion", 0.5)) == {
        "levels": {"class_path": "KarrasLevels", "init_args": {"steps": 2}},
        "learning_rates": [0.05, 0.01],
        "steps": [1, 2],
    }


def test_the_table_takes_what_was_chosen_for_its_problem(tmp_path: Path) -> None:
    file = write_study(tmp_path)
    chosen = {"choices": {"pool": {"MPGD": {"factor": 0.25, "scores": {0.25: 1.0}}}}}
    tuned_file(file).write_text(yaml.safe_dump(chosen))
    study = Study.read(file)
    assert arguments(study.configuration("pool", "MPGD"))["scale"] == 0.5
    assert arguments(study.configuration("pool", "MPGD", 3.0))["scale"] == 6.0


def test_only_tuning_asks_for_the_rooms_for_tuning(tmp_path: Path) -> None:
    study = Study.read(write_study(tmp_path))
    assert study.configuration("pool", "MPGD")["data"]["init_args"]["split"] == "test"
    tuning = study.configuration("pool", "MPGD", 1.0)["data"]["init_args"]
    assert tuning == {"split": "tune", "size": 16, "num_images": 3}


def test_a_row_that_is_not_there_is_named(tmp_path: Path) -> None:
    study = Study.read(write_study(tmp_path))
    with pytest.raises(ValueError, match=r"the solvers \['prior', 'MPGD'\], but got 'pool' and 'DSP'"):
        study.configuration("pool", "DSP")
