"""Files and options in any order, files by name; the arguments of the other commands."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_run import SMALL

from dis_lightning.main import main

PARTS = ["data/rooms", "priors/rooms_gaussian", "operators/average_pool_x4", "solvers/dps"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])  # the current folder is put there
    return tmp_path


def configuration(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    with pytest.raises(SystemExit) as stopped:
        main(["predict", *args, "--print_config"])
    assert stopped.value.code == 0
    content: dict[str, Any] = yaml.safe_load(capsys.readouterr().out)
    return content


def test_options_may_stand_before_files_and_override_them(capsys: pytest.CaptureFixture[str]) -> None:
    files = [word for name in PARTS for word in ("--config", name)]
    options = ["--data.num_images", "2", "--model.scale=3", "--operator=JPEG", "--model.levels.steps", "7"]
    found = [
        configuration(capsys, *options, *files),
        configuration(capsys, *files, *options),
        configuration(capsys, *options[:2], *files[:4], *options[2:], *files[4:]),
        configuration(capsys, *options, *(f"-c={name}" for name in PARTS)),
    ]
    assert all(one == found[0] for one in found)
    assert found[0]["data"]["init_args"]["num_images"] == 2
    assert found[0]["model"]["init_args"]["scale"] == 3
    assert found[0]["model"]["init_args"]["levels"]["init_args"]["steps"] == 7
    assert found[0]["operator"]["class_path"] == "dis_lightning.operators.JPEG"


def test_an_argument_before_its_class_is_told_where_it_belongs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["predict", *(f"--config={name}" for name in PARTS), "--model.iterations=3", "--model", "MMPS"])
    told = capsys.readouterr().err
    assert "DPS has no argument `iterations`" in told
    assert told.endswith("If it is meant for MMPS, let it stand behind --model.\n")
    with pytest.raises(SystemExit):
        main(["predict", *(f"--config={name}" for name in PARTS), "--model.scal=3", "--model=DPS"])
    assert "meant for" not in capsys.readouterr().err


def test_a_later_file_overrides_an_earlier_one(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (elsewhere / "own.yaml").write_text("model: {init_args: {scale: 5}}")
    assert configuration(capsys, *SMALL, "--config=own.yaml")["model"]["init_args"]["scale"] == 5


def test_short_and_long_names_are_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    short = [f"--config={name}" for name in PARTS]
    long = [f"--config=configs/{name}.yaml" for name in PARTS]
    assert configuration(capsys, *short) == configuration(capsys, *long)


def test_the_configuration_of_an_older_run_is_taken(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `config.yaml` of earlier versions holds beside: the trainer's arguments as they are by default."""
    older = {
        "seed_everything": False,
        "trainer": {"max_epochs": None, "max_steps": -1, "inference_mode": False, "overfit_batches": 0.0},
    }
    (elsewhere / "older.yaml").write_text(yaml.safe_dump(older))
    assert configuration(capsys, *SMALL, "--config=older.yaml") == configuration(capsys, *SMALL)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["report"], "runs is missing"),
        (["report", "--max_images=a", "x"], "max_images needs a whole number, but got 'a'"),
        (["report", "--outptu=a", "x"], "There is no `outptu`. Did you mean `output`?"),
        (["evaluate"], "run is missing"),
        (["evaluate", "x", "--device=gpuu"], "device gpuu cannot be used here"),
        (["evaluate", "x", "--trainer.callbacks+=MeanIuO"], "Did you mean `MeanIoU`"),
        (["evaluate", "x", "--config=callbacks/y_mes"], "Did you mean `callbacks/y_mse`?"),
        (["evaluate", "x", "y"], "`y` is not understood"),
        (["evaluate", "x", "--config", "callbacks/y_mse"], "config.yaml does not exist; give the folder of a run"),
    ],
)
def test_mistakes_in_the_other_commands_are_one_message(
    args: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(args)
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert told in message
    assert message.startswith("dis-lightning: ")
    assert len(message.splitlines()) == 1
