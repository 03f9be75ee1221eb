"""What is installed has the files of `configs/`, and finds them without a clone."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from small_run import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the project, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("dis_lightning", "configs"):  # elsewhere, so that nothing is left beside the sources
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(folder / "source")], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    shutil.rmtree(folder / "source")
    return folder / "installed"


def test_every_file_of_the_project_is_in_it(installed: Path) -> None:
    for source, there in ((ROOT / "configs", "configs"), (ROOT / "dis_lightning", "")):
        kept = {file.relative_to(source) for file in source.rglob("*") if file.is_file() and file.suffix != ".pyc"}
        found = installed / "dis_lightning" / there
        assert {file for file in kept if not (found / file).is_file()} == set()
    assert {folder.name for folder in installed.iterdir() if "-info" not in folder.name} == {"dis_lightning"}


def test_choices_are_found_by_name_from_any_folder(installed: Path, tmp_path: Path) -> None:
    names = ["solvers/dps", "configs/data/rooms.yaml", "configs/priors/rooms_edm.yaml", "operators/jpeg_10"]
    shown = predict(installed, tmp_path, *(f"--config={name}" for name in names), "--print_config")
    assert shown.returncode == 0, shown.stderr
    content = yaml.safe_load(shown.stdout)
    assert content["model"]["init_args"]["levels"]["init_args"]["steps"] == 100
    assert content["operator"]["init_args"]["quality"] == 10


def test_the_names_in_messages_work(installed: Path, tmp_path: Path) -> None:
    told = predict(installed, tmp_path, "--config=quickstart", "--operator=null", "--data=null").stderr
    files = []
    for part in ("operator", "data"):
        (line,) = (line for line in told.splitlines() if f"Give `{part}` by" in line)
        named, _, choices = line.partition("--config ")[2].partition(", NAME one of ")
        files.append(f"--config={named.replace('NAME', choices.partition(',')[0])}")
    shown = predict(installed, tmp_path, *files, "--print_config")
    assert shown.returncode == 0, shown.stderr
    content = yaml.safe_load(shown.stdout)
    assert "class_path" in content["operator"]
    assert "class_path" in content["data"]


def predict(installed: Path, folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "dis_lightning", "predict", *args],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
