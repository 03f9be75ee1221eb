"""The files of configs/rooms are understood by the command that each names, and hold the networks that ship."""

import re

import pytest
import yaml
from small_run import ROOT

from dis_lightning.priors.checkpoints.loading import load_network
from dis_lightning.rooms.__main__ import main
from dis_lightning.rooms.trained import WEIGHTS

FILES = {file.stem: file for file in sorted((ROOT / "configs" / "rooms").glob("*.yaml"))}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_taken_by_the_command_in_its_head(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    head = FILES[name].read_text().partition("\n\n")[0]
    (command, file), *_ = re.findall(r"python -m dis_lightning\.rooms (\w+) --config (\S+)", head)
    assert ROOT / file == FILES[name]
    with pytest.raises(SystemExit) as ended:
        main([command, f"--config={file}", "--print_config"])
    assert ended.value.code == 0
    given = yaml.safe_load(FILES[name].read_text())
    understood = yaml.safe_load(capsys.readouterr().out)
    assert given.keys() <= understood.keys()


def test_the_file_for_a_gpu_builds_the_network_that_ships() -> None:
    file = yaml.safe_load(FILES["edm_gpu"].read_text())
    arguments = file["training"]["init_args"]["model"]["init_args"]["network"]["init_args"]
    shipped = load_network(str(WEIGHTS / "rooms_edm.safetensors")).arguments
    assert {name: shipped[name] for name in arguments} == arguments
