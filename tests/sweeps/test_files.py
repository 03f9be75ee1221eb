"""The sweeps that ship: their commands are accepted with the values that are drawn."""

from pathlib import Path

import pytest
import yaml
from small_run import ROOT

from dis_lightning.commands.predict import predict_command
from dis_lightning.sweeps import Trial, read_sweep, sweep_folder
from dis_lightning.values import SECTIONS

FILES = sorted((ROOT / "configs/sweeps").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_predict_accepts_every_trial(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = read_sweep(file)
    assert sweep.metric.split("/")[0] in SECTIONS
    trial = Trial.of(next(sweep.values(0)), sweep_folder(sweep, tmp_path, 0))
    words = trial.command(sweep)
    with pytest.raises(SystemExit, match="0"):
        predict_command([*words[words.index("predict") + 1 :], "--print_config"])
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["writer"]["folder"] == str(trial.folder)
    for key, value in trial.values.items():
        part = printed
        for name in key.split("."):
            part = part[name]
        assert part == value


def test_agents_name_the_run_folder_by_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    from dis_lightning.callbacks import Writer

    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")
    monkeypatch.setenv("WANDB_RUN_ID", "xyz")
    folder = Writer(folder="outputs/sweeps/${WANDB_SWEEP_ID}/${WANDB_RUN_ID}").folder.path
    assert folder == Path("outputs/sweeps/abc/xyz")
