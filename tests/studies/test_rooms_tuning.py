"""Step sizes are the best that were tried, on the rooms that are said, with the same budget for all."""

import math
from pathlib import Path

import pytest
import yaml
from rooms_study import solver, write_study
from torch.nn import functional as F

from dis_lightning.images import dequantise
from dis_lightning.rooms import rooms_reader_b
from studies import rooms_semantic
from studies.rooms_rows import Study, found, tuned_file
from studies.rooms_tuning import COARSE, FINE, choose, described, scores, tune


@pytest.mark.parametrize("best", [1 / 32, 1 / 4, 1.0, 2.0, 16.0, 32.0])
def test_the_best_factor_is_found_anywhere_on_the_grid(best: float) -> None:
    choice = choose(lambda factors: {factor: -abs(math.log(factor / best)) for factor in factors})
    assert choice.factor == best
    assert len(choice.scores) == len(COARSE) + len(FINE)
    assert choice.scores[best] == 0


def test_a_factor_with_which_a_sample_diverged_is_never_chosen() -> None:
    choice = choose(lambda factors: {factor: math.nan if factor >= 1 else factor for factor in factors})
    assert choice.factor == 0.5
    with pytest.raises(ValueError, match="start the study from another step size"):
        choose(lambda factors: dict.fromkeys(factors, math.nan))


def test_a_factor_with_which_a_sample_diverges_has_no_score(tmp_path: Path) -> None:
    wild = Study.read(write_study(tmp_path, solvers={"DPS": solver("DPS", ("scale",), scale=3e38)}))
    assert math.isnan(scores(wild, tmp_path / "run", "pool", "DPS", [1.0])[1.0])


def test_what_is_better_lower_has_the_opposite_score(tmp_path: Path) -> None:
    study = Study.read(write_study(tmp_path))
    distance = study._replace(tuning={**study.tuning, "metric": "consistency/distance", "better": "lower"})
    run = study.run(tmp_path / "run" / "1", "pool", "MPGD", 1.0)
    first, second = (scores(one, tmp_path / "runs", "pool", "MPGD", [1.0])[1.0] for one in (study, distance))
    assert first == found(run, "psnr")["mean"] > 0
    assert second == -found(run, "distance")["mean"] < 0


def test_all_rows_are_tuned_as_often_as_each_other_and_what_is_written_is_what_was_found(tmp_path: Path) -> None:
    solvers = {name: solver(name, ("scale",), scale=2.0) for name in ("DPS", "MPGD")} | {"prior": solver("Unguided")}
    file = write_study(tmp_path, solvers=solvers)
    rows = list(tune(file, tmp_path / "runs"))
    assert [(problem, name) for problem, name, _ in rows] == [("pool", "DPS"), ("pool", "MPGD")]
    for name in ("DPS", "MPGD"):
        assert len(list((tmp_path / "runs" / "pool" / name).glob("*/metrics.json"))) == 7

    record, study = yaml.safe_load(tuned_file(file).read_text()), Study.read(file)
    assert (record["split"], record["num_images"]) == ("tune", 3)
    for _, name, choice in rows:
        assert record["choices"]["pool"][name]["factor"] == choice.factor == study.choices["pool"][name].factor
        best = study.run(tmp_path / "again" / name, "pool", name, choice.factor)
        assert found(best, "psnr")["mean"] == pytest.approx(max(choice.scores.values()), abs=1e-6)
        assert study.configuration("pool", name)["model"]["init_args"]["scale"] == float(f"{2 * choice.factor:.3g}")
    told = 'Step sizes are the best of 7 for each solver and problem on 3 other rooms (split "tune").'
    assert described(study) == told
    assert described(study._replace(note="They are old.")) == f"{told} They are old."


@pytest.mark.filterwarnings("ignore:.* images is biased")
def test_the_semantic_study_is_tuned_to_the_cross_entropy_of_the_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = Study.read(rooms_semantic.STUDY)
    rooms, tuning = {**study.reference, "num_images": 2}, {**study.tuning, "data": {"split": "tune", "num_images": 2}}
    few = study._replace(reference=rooms, tuning=tuning)
    value = scores(few, tmp_path / "run", "segmentation", "CM", [1.0])[1.0]
    run = few.run(tmp_path / "again", "segmentation", "CM", 1.0)
    whole = run.folder.reconstruction([0, 1])
    logits = rooms_reader_b()(dequantise(whole.draws.samples[:, 0])).segmentation
    assert value == pytest.approx(-float(F.cross_entropy(logits, whole.measurement.long())), rel=1e-5)
