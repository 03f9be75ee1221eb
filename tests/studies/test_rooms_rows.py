"""Rows of the tables on rooms are runs of the command line, and shipped studies hold what they say."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from rooms_study import solver, write_study
from torch import Tensor

from dis_lightning.arguments.building import build_solver
from dis_lightning.main import main
from dis_lightning.noise import NoiseSource
from dis_lightning.rooms import render_room
from dis_lightning.solvers import Solver
from dis_lightning.streams import quieten
from dis_lightning.types import Measurement
from studies import rooms_classical, rooms_semantic
from studies.rooms_rows import Configuration, Study, found, tuned_file

SHIPPED = {"classical": rooms_classical.STUDY, "semantic": rooms_semantic.STUDY}
PARTS = ("model", "operator", "denoiser", "consistency")


@pytest.mark.parametrize("file", SHIPPED.values(), ids=SHIPPED)
def test_every_row_that_ships_can_be_built(file: Path) -> None:
    quieten()
    study = Study.read(file)
    first = next(iter(study.problems))
    pairs = [(first, name) for name in study.solvers] + [(problem, "DPS") for problem in study.problems]
    for problem, name in pairs:
        row = study.configuration(problem, name)
        built = build_solver({key: row[key] for key in PARTS if key in row})
        assert type(built.operator).__name__ == study.problems[problem]["class_path"].rpartition(".")[2]
        assert type(built).__name__ == study.solvers[name]["model"]["class_path"].rpartition(".")[2]


@pytest.mark.parametrize("file", SHIPPED.values(), ids=SHIPPED)
def test_step_sizes_are_tuned_on_rooms_of_which_none_is_in_the_table(file: Path) -> None:
    study = Study.read(file)
    rooms = study.tuning["data"]
    assert rooms["split"] not in ("train", study.reference.get("split"), study.data["init_args"]["split"])
    arguments = {name: parts["model"].get("init_args", {}) for name, parts in study.solvers.items()}
    # In the units of the likelihood a scale is 1, and nothing is tuned.
    guided = [name for name, given in arguments.items() if "scale" in given and "convention" not in given]
    assert set(guided) <= set(filter(study.tuned, study.solvers))
    if tuned_file(file).exists():
        record = yaml.safe_load(tuned_file(file).read_text())
        assert {key: record[key] for key in ("split", "num_images")} == {
            key: rooms[key] for key in ("split", "num_images")
        }


@pytest.mark.parametrize("file", SHIPPED.values(), ids=SHIPPED)
def test_the_factors_that_ship_are_the_best_of_those_tried(file: Path) -> None:
    for row in Study.read(file).choices.values():
        for choice in row.values():
            tried = {factor: -math.inf if math.isnan(value) else value for factor, value in choice.scores.items()}
            assert tried[choice.factor] == max(tried.values())


def pixels(folder: Path, name: str) -> list[bytes]:
    return [Image.open(file).tobytes() for file in sorted((folder / name).glob("*.png"))]


def test_the_command_line_gives_the_samples_of_the_row(tmp_path: Path) -> None:
    study = Study.read(write_study(tmp_path))
    file = tmp_path / "row.yaml"
    file.write_text(yaml.safe_dump(study.configuration("pool", "MPGD")))
    main(["predict", f"--config={file}", f"--writer.folder={tmp_path / 'there'}"])
    here = study.run(tmp_path / "here", "pool", "MPGD")
    assert len(here.images) == 2
    assert pixels(here.folder.path, "samples") == pixels(tmp_path / "there", "samples")


def test_a_row_goes_on_where_its_folder_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study.read(write_study(tmp_path))
    whole = study.run(tmp_path / "run", "pool", "MPGD")
    asked: list[list[tuple[int, ...]]] = []
    solve = Solver.solve

    def listening(self: Solver, y: Measurement, noise: NoiseSource) -> Tensor:
        asked.append(noise.keys)
        return solve(self, y, noise)

    monkeypatch.setattr(Solver, "solve", listening)
    (tmp_path / "run" / "records" / "00001.json").unlink()
    assert study.run(tmp_path / "run", "pool", "MPGD").values[1]["psnr"] == whole.values[1]["psnr"]
    assert asked == [[(1,)]]


def arguments(configuration: Configuration) -> dict[str, Any]:
    named: dict[str, Any] = configuration["model"]["init_args"]
    return named


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
    study = Study.read(write_study(tmp_path, metrics={"pool": [{"class_path": "MeasurementMSE"}]}))
    table, tuned = (study.configuration("pool", "MPGD", factor) for factor in (None, 1.0))
    assert table["data"]["init_args"]["split"] == "test"
    assert tuned["data"]["init_args"] == {"split": "tune", "size": 16, "num_images": 3}
    assert table["trainer"] == tuned["trainer"]


def test_a_row_that_is_not_there_is_named(tmp_path: Path) -> None:
    study = Study.read(write_study(tmp_path))
    with pytest.raises(ValueError, match=r"the solvers \['prior', 'MPGD'\], but got 'pool' and 'DSP'"):
        study.configuration("pool", "DSP")


def test_the_rooms_to_compare_with_are_written_once_and_whole(tmp_path: Path) -> None:
    reference = {"folder": str(tmp_path / "out" / "rooms"), "num_images": 2, "split": "reference", "size": 16}
    study = Study.read(write_study(tmp_path, reference=reference))
    study.write_reference()
    study._replace(reference={**reference, "num_images": 3}).write_reference()
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["rooms"]
    expected = [render_room("reference", index, 16).image.tobytes() for index in range(2)]
    assert pixels(tmp_path / "out" / "rooms", "images") == expected


def test_the_baselines_are_the_true_rooms_and_the_pseudo_inverse(tmp_path: Path) -> None:
    names = ("TrueImages", "PseudoInverse")
    solvers = {name: solver(f"studies.baselines.{name}") for name in names}
    for row in solvers.values():
        del row["model"]["init_args"]
    study = Study.read(write_study(tmp_path, solvers=solvers))
    truth, blind = (study.run(tmp_path / name, "pool", name) for name in names)
    assert pixels(tmp_path / "TrueImages", "samples") == pixels(tmp_path / "TrueImages", "sources")
    assert [found(run, "evaluations")["mean"] for run in (truth, blind)] == [0, 0]
    assert found(blind, "psnr")["mean"] == found(blind, "psnr_pseudo_inverse")["mean"]

    nonlinear = study._replace(problems={"pool": {"class_path": "HDR"}})
    with pytest.raises(TypeError, match="PseudoInverse needs a LinearOperator, but got HDR"):
        nonlinear.run(tmp_path / "HDR", "pool", "PseudoInverse")
