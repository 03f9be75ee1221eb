"""Classes of a user's own: the examples as they are, from the folder that holds them, and what their errors show."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from small_run import ROOT, SMALL

from dis_lightning.main import main
from dis_lightning.noise import NoiseSource

EXAMPLES = sorted((ROOT / "examples").glob("own_*.py"))
QUICK = ["--data.num_images=1", "--model.levels.steps=3", "--trainer.accelerator=cpu"]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in, whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("own")]:
        del sys.modules[name]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda file: file.stem)
def test_the_command_of_an_example_runs_where_its_file_lies(example: Path, own: Path) -> None:
    shutil.copy(example, own)
    command = shlex.split(next(line for line in example.read_text().splitlines() if line.startswith("dis-lightning")))
    main([*command[1:], *QUICK])
    folder = Path(command[command.index("--writer.folder") + 1])
    kept = yaml.safe_load((own / folder / "config.yaml").read_text())
    metrics = json.loads((own / folder / "metrics.json").read_text())["metrics"]
    if example.stem == "own_metric":
        assert kept["trainer"]["callbacks"]["class_path"] == "own_metric.MeanAbsoluteError"
        # A mean absolute error is below the root of the mean square, and the best sample is not worse than the mean.
        worst = 255 * 10 ** (-metrics["psnr"]["mean"] / 20)
        assert worst > metrics["mae"]["mean"] > metrics["mae_best_of_2"]["mean"] > 0.2 * worst
    else:
        key = {"solver": "model", "operator": "operator", "prior": "denoiser", "data": "data"}
        assert kept[key[example.stem.removeprefix("own_")]]["class_path"].startswith(f"{example.stem}.")
    assert (own / folder / "records" / "00000.json").exists()


def test_the_command_finds_classes_in_the_current_folder(tmp_path: Path) -> None:
    for example in EXAMPLES:
        shutil.copy(example, tmp_path)
    named = ["--operator=own_operator.Dusk", "--denoiser=own_prior.GreyPrior", "--model=own_solver.EarlyDPS"]
    command = [str(Path(sys.executable).with_name("dis-lightning")), "predict", "--config=data/rooms", *named]
    done = subprocess.run(
        [*command, "--model.levels=KarrasLevels", "--model.scale=1", *QUICK, "--print_config"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "until: 0.5" in done.stdout


def test_the_example_prior_is_the_posterior_mean(own: Path) -> None:
    shutil.copy(ROOT / "examples" / "own_prior.py", own)
    sys.path.insert(0, str(own))
    from own_prior import GreyPrior  # type: ignore[import-not-found] # it is there in the test

    prior = GreyPrior(size=64, mean=0.2, std=0.4)
    stream = NoiseSource(0, [0])
    clean, sigma = 0.2 + 0.4 * stream.normal((1, 3, 64, 64)), 0.3
    noisy = clean + sigma * stream.normal((1, 3, 64, 64))
    residual = clean - prior(noisy, torch.tensor([sigma]))
    assert abs(float((residual * noisy).mean())) < 0.02  # the error of a mean is uncorrelated with what was seen
    assert float(residual.square().mean()) == pytest.approx(0.4**2 * 0.3**2 / (0.4**2 + 0.3**2), rel=0.05)


FAULTY = """
from lightning import Callback
from dis_lightning.errors import InvalidValueError
from dis_lightning.priors import Denoiser
from dis_lightning.solvers import DPS

class Solver(DPS):
    def __init__(self, *args, **common) -> None:
        super().__init__(*args, **common)
        raise ERROR

class Film(Callback):
    def __init__(self) -> None:
        raise ERROR

def prior() -> Denoiser:
    raise ERROR
"""
BUILT = ["--model=own_faults.Solver", "--trainer.callbacks+=own_faults.Film", "--denoiser=own_faults.prior"]


@pytest.mark.parametrize("error", [TypeError, AttributeError, ValueError, ImportError, KeyError, AssertionError])
@pytest.mark.parametrize("argument", BUILT)
def test_an_error_in_a_constructor_keeps_its_traceback(
    argument: str, error: type[Exception], own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own / "own_faults.py").write_text(FAULTY.replace("ERROR", f"{error.__name__}('no such thing')"))
    with pytest.raises(error, match="no such thing") as raised:
        main(["predict", *SMALL, argument])
    assert type(raised.value) is error
    assert raised.traceback[-1].path == own / "own_faults.py"
    told = capsys.readouterr().err
    assert "please report it" in told
    assert "class of your own" in told


@pytest.mark.parametrize("argument", BUILT)
def test_a_users_mistake_that_a_constructor_finds_is_one_line(
    argument: str, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own / "own_faults.py").write_text(FAULTY.replace("ERROR", "InvalidValueError('give more sugar')"))
    with pytest.raises(SystemExit) as stopped:
        main(["predict", *SMALL, argument])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "dis-lightning: give more sugar\n"


@pytest.mark.parametrize(
    ("content", "error"),
    [("int('x')", ValueError), ("from math import nothing_of_this_name", ImportError), ("1 + ''", TypeError)],
)
def test_an_error_of_ones_own_file_keeps_its_traceback(content: str, error: type[Exception], own: Path) -> None:
    (own / "own_faults.py").write_text(content)
    with pytest.raises(error) as raised:
        main(["predict", *SMALL, "--model=own_faults.Solver"])
    assert raised.traceback[-1].path == own / "own_faults.py"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Solvr", "own_faults has no `Solvr`. Did you mean `Solver`"),
        ("Film", "model needs a Solver, and own_faults.Film is none"),
    ],
)
def test_a_wrong_name_of_ones_own_is_told(name: str, told: str, own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own / "own_faults.py").write_text(FAULTY)
    with pytest.raises(SystemExit):
        main(["predict", *SMALL, f"--model=own_faults.{name}"])
    assert told in capsys.readouterr().err


GREEDY = """
import torch
from dis_lightning.solvers import DPS

class Greedy(DPS):
    def iterate(self, y, noise):
        if 2 in noise.indices:  # the second batch
            torch.empty(10**15)  # more than any machine has
        return super().iterate(y, noise)
"""


def test_out_of_memory_keeps_what_is_finished_and_says_what_to_do(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own / "own_greed.py").write_text(GREEDY)
    with pytest.raises(SystemExit) as stopped:
        main(["predict", *SMALL, "--model=own_greed.Greedy", "--writer.folder=run"])
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert "a pass had 4 rows, 2 images of 2 each" in told
    assert "--data.batch_size" in told
    assert sorted(file.name for file in (own / "run" / "records").iterdir()) == ["00000.json", "00001.json"]
