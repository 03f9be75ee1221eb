"""What a command imports: nobody waits for what is not used."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from runs_by_hand import write_run
from small_run import ROOT, SMALL

IMPORTED = """
import json, sys
from dis_lightning.main import main
try:
    main(sys.argv[1:])
except SystemExit as ending:
    assert not ending.code, ending.code
finally:
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""

COMPUTING = {"lightning", "scipy", "torch", "torchmetrics", "torchvision", "transformers"}
DRAWING = {"PIL", "jinja2", "matplotlib", "numpy"}
READING = {"jsonargparse", "yaml"}
RARE = {"av", "deepinv", "diffusers", "lpips", "open_clip", "tensorboard", "timm", "wandb"}
"""What only some runs use."""


def imported(*args: str) -> set[str]:
    """The packages that a command has imported when it ends."""
    command = [sys.executable, "-c", IMPORTED, *args]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return set(json.loads(ended.stderr.splitlines()[-1]))


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_to_say_what_there_is_takes_python_alone(word: str) -> None:
    assert not imported(word) & (COMPUTING | DRAWING | READING | RARE)


@pytest.mark.parametrize("command", ["report", "evaluate"])
def test_help_takes_the_parser_alone(command: str) -> None:
    found = imported(command, "--help")
    assert found >= READING
    assert not found & (COMPUTING | DRAWING | RARE)


def test_a_report_is_drawn_without_what_computes(tmp_path: Path) -> None:
    shown = {name: {"title": name, "better": "neither"} for name in ("psnr", "seconds", "evaluations")}
    run = write_run(tmp_path, {"psnr": [20.0, 22.0]}, samples=2, definitions=shown)
    found = imported("report", str(run))
    assert (run / "report.html").exists()
    assert found >= DRAWING
    assert not found & (COMPUTING | RARE)


def test_a_prediction_does_not_wait_for_what_only_others_use(tmp_path: Path) -> None:
    found = imported(
        "predict", *SMALL, "--data.num_images=1", "--model.levels.steps=1", f"--writer.folder={tmp_path}/run"
    )
    assert found >= COMPUTING | DRAWING | READING
    assert not found & RARE


@pytest.mark.parametrize("package", ["dis_lightning.commands", "dis_lightning.runs"])
def test_what_is_imported_late_is_there(package: str) -> None:
    module = importlib.import_module(package)
    assert all(callable(getattr(module, name)) for name in module.__all__)
    with pytest.raises(AttributeError, match=f"{package}' has no attribute 'nothing'"):
        module.nothing  # noqa: B018
