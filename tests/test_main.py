"""The command line in one process: composition, overrides, and what a user's mistakes get."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from small_run import ROOT, SMALL

from dis_lightning.main import main

pytestmark = pytest.mark.usefixtures("in_project")


def fails(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["predict", *args])
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("dis-lightning: ")
    assert "Traceback" not in message
    assert len(message.splitlines()) < 8
    return message


def without(name: str) -> list[str]:
    """The small run without one part: its file and its overrides."""
    folder = {"denoiser": "priors", "model": "solvers", "operator": "operators"}.get(name, name)
    position = next(i for i, arg in enumerate(SMALL) if arg.startswith(f"configs/{folder}"))
    rest = [*SMALL[: position - 1], *SMALL[position + 1 :]]
    return [arg for arg in rest if not arg.startswith(f"--{name}.")]


@pytest.mark.parametrize("name", ["data", "operator", "denoiser", "model"])
def test_a_missing_part_is_named_with_the_remedy(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    message = fails(capsys, *without(name))
    assert name in message
    assert "--config configs/" in message


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--operator.factr=3", "factr"),
        ("--model.levels.step=3", "step"),
        ("--modl.scale=3", "modl"),
        ("--operator=AveragePol", "AveragePool"),
        ("--config=configs/none.yaml", "configs/none.yaml"),
        ("--operator.factor=two", "two"),
        ("--operator.factor=0", "factor >= 1, a whole number, but got factor=0"),
        ("--model.scale=-1", "scale >= 0, but got -1"),
        ("--model.num_samples=0", "num_samples >= 1"),
        ("--model.levels.steps=0", "steps >= 1"),
        ("--data.batch_size=0", "batch_size >= 1"),
        ("--data.size=16", "(3, 8, 8)"),
        ("--operator.factor=3", "factor=3"),
        ("--writer.grid_images=0", "grid_images >= 1"),
        ("--consistency=dis_lightning.rooms.rooms_gaussian", "takes no `consistency`"),
        ("--trainer.precision=bf16-mixed", "32-true"),
    ],
)
def test_a_wrong_argument_is_named(
    argument: str, expected: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert expected in fails(capsys, *SMALL, f"--writer.folder={tmp_path}", argument)


def test_files_compose_in_any_order_and_overrides_win(tmp_path: Path) -> None:
    files = [f"--config={value}" for value in SMALL if value.startswith("configs/")]
    rest = [value for value in SMALL if value.startswith("--") and value != "--config"]
    main(["predict", *reversed(files), *rest, f"--writer.folder={tmp_path}", "--operator.factor=2"])

    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert config["operator"]["init_args"]["factor"] == 2
    assert config["model"]["init_args"]["levels"]["init_args"]["steps"] == 5
    assert (tmp_path / "samples" / "00004_01.png").exists()


def test_the_saved_configuration_repeats_the_run(tmp_path: Path) -> None:
    main(["predict", *SMALL, f"--writer.folder={tmp_path / 'first'}"])
    again = ["predict", f"--config={tmp_path / 'first' / 'config.yaml'}", f"--writer.folder={tmp_path / 'second'}"]
    main(again)

    first, second = (sorted((tmp_path / name).glob("samples/*.png")) for name in ("first", "second"))
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
    assert len(first) == 10


def test_a_folder_of_another_configuration_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["predict", *SMALL, f"--writer.folder={tmp_path}"])
    main(["predict", *SMALL, f"--writer.folder={tmp_path}", "--trainer.benchmark=false", "--data.num_workers=0"])
    capsys.readouterr()

    message = fails(capsys, *SMALL, f"--writer.folder={tmp_path}", "--model.scale=3", "--data.num_images=4")

    assert "model.init_args.scale: 20.0 there, 3.0 now" in message
    assert "data.init_args.num_images: 5 there, 4 now" in message
    assert "--writer.folder" in message


def test_a_closed_stream_a_folder_that_is_gone_and_a_terminal_of_few_letters_are_no_errors(tmp_path: Path) -> None:
    place, call = tmp_path / "gone", f"{sys.executable} -m dis_lightning"
    script = (
        f"mkdir {place} && cd {place} && rmdir {place} && {call} --version >&- && {call} --version && {call} h\u00fc"
    )
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout.startswith("dis-lightning ")
    assert done.stderr.startswith("dis-lightning: there is no command 'h\\xfc'")


@pytest.mark.parametrize("command", [["-m", "dis_lightning"], [str(Path(sys.executable).with_name("dis-lightning"))]])
def test_both_ways_to_call_it_list_the_commands(command: list[str]) -> None:
    prefix = [sys.executable] if command[0] == "-m" else []
    shown = subprocess.run([*prefix, *command, "--help"], capture_output=True, text=True, check=True)
    assert "predict" in shown.stdout
    assert "evaluate" in shown.stdout
