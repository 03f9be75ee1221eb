"""A run from Python does what the command line does with the same configuration."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dis_lightning.commands import run
from dis_lightning.main import main

SMALL = {
    "data": {"class_path": "RoomsData", "init_args": {"size": 16, "num_images": 3, "batch_size": 2}},
    "operator": {"class_path": "AveragePool", "init_args": {"factor": 4}},
    "denoiser": {"class_path": "dis_lightning.rooms.rooms_gaussian", "init_args": {"size": 16, "num_images": 30}},
    "model": {
        "class_path": "DPS",
        "init_args": {"levels": {"class_path": "KarrasLevels", "init_args": {"steps": 2}}, "scale": 5.0},
    },
    "trainer": {"accelerator": "cpu", "callbacks": [{"class_path": "MeasurementMSE"}]},
}


def small(folder: Path, **changes: Any) -> dict[str, Any]:
    return {**SMALL, "writer": {"folder": str(folder)}, **changes}


def test_the_folder_is_that_of_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(small(tmp_path / "line")))
    main(["predict", f"--config={file}"])
    run(small(tmp_path / "python"))

    folders = [tmp_path / name for name in ("line", "python")]
    kept, again = (yaml.safe_load((folder / "config.yaml").read_text()) for folder in folders)
    assert {**kept, "writer": None} == {**again, "writer": None}
    for name in ("samples", "sources", "measurements"):
        line, python = ({file.name: file.read_bytes() for file in (folder / name).iterdir()} for folder in folders)
        assert line == python
        assert line
    line, python = (json.loads((folder / "metrics.json").read_text()) for folder in folders)
    assert {"psnr", "y_mse"} <= line["metrics"].keys() | line["consistency"].keys()
    clock = {"cost", "results_sha256", "digest"}
    assert {key: line[key] for key in line.keys() - clock} == {key: python[key] for key in python.keys() - clock}
    assert (tmp_path / "python" / "report.html").exists()


def test_it_is_taken_up_again_and_another_one_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(small(tmp_path))
    capsys.readouterr()
    run(small(tmp_path))
    assert "Reused: 3 of 3" in capsys.readouterr().out
    other = {**SMALL["model"], "init_args": {**SMALL["model"]["init_args"], "scale": 6.0}}
    with pytest.raises(ValueError, match=r"model.init_args.scale: 5.0 there, 6.0 now"):
        run(small(tmp_path, model=other))
