"""Step sizes are the best that were tried, on the rooms that are said, with the same budget for all."""

import math
from pathlib import Path

import pytest
import yaml
from rooms_study import solver, write_study

from studies.rooms_classical import psnr
from studies.rooms_rows import Configuration, Study, tuned_file
from studies.rooms_tuning import COARSE, FINE, choose, described, tune


@pytest.mark.parametrize("best", [1 / 32, 1 / 4, 1.0, 2.0, 16.0, 32.0])
def test_the_best_factor_is_found_anywhere_on_the_grid(best: float) -> None:
    choice = choose(lambda factor: -abs(math.log(factor / best)))
    assert choice.factor == best
    assert len(choice.scores) == len(COARSE) + len(FINE)
    assert choice.scores[best] == 0


def test_a_factor_with_which_a_sample_diverged_is_never_chosen() -> None:
    choice = choose(lambda factor: math.nan if factor >= 1 else factor)
    assert choice.factor == 0.5
    with pytest.raises(ValueError, match="start the study from another step size"):
        choose(lambda _: math.nan)


def test_all_rows_are_scored_on_the_rooms_for_tuning_as_often_as_each_other(tmp_path: Path) -> None:
    asked: list[Configuration] = []

    def score(configuration: Configuration) -> float:
        asked.append(configuration)
        return -abs(configuration["model"]["init_args"]["scale"] - 5.0)

    solvers = {name: solver(name, ("scale",), scale=2.0) for name in ("DPS", "MPGD")} | {"prior": solver("Unguided")}
    file = write_study(tmp_path, solvers=solvers)
    rows = [(problem, name) for problem, name, _ in tune(file, score)]
    assert rows == [("pool", "DPS"), ("pool", "MPGD")]
    assert {one["data"]["init_args"]["split"] for one in asked} == {"tune"}
    assert [sum(one["model"]["class_path"] == name for one in asked) for name in ("DPS", "MPGD")] == [7, 7]

    study = Study.read(file)
    assert study.configuration("pool", "DPS")["model"]["init_args"]["scale"] == 4.0
    assert 'best of 7 for each solver and problem on 3 other rooms (split "tune")' in described(study)


def test_what_is_written_is_the_score_on_the_rooms_it_names(tmp_path: Path) -> None:
    file = write_study(tmp_path)
    (*_, choice), *_ = tune(file, psnr)
    record = yaml.safe_load(tuned_file(file).read_text())
    assert (record["split"], record["num_images"]) == ("tune", 3)
    again = Study.read(file).configuration("pool", "MPGD") | {
        "data": {"class_path": "RoomsData", "init_args": {"split": "tune", "size": 16, "num_images": 3}}
    }
    assert psnr(again) == pytest.approx(max(choice.scores.values()), abs=1e-6)
    assert record["choices"]["pool"]["MPGD"]["factor"] == choice.factor
