"""What README and the pages of the site show is run, and what they name is there."""

import re
import subprocess
from importlib.util import find_spec
from inspect import isabstract
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from shown import PAGES, REASON, blocks, run_python, run_shell
from small_run import ROOT

from dis_lightning import data, metrics, operators, priors, solvers
from dis_lightning.rooms import write_folder

README = ROOT / "README.md"
WITH_CODE = [page for page in PAGES if any(block.language in {"sh", "python", "yaml"} for block in blocks(page))]
SHOWN_ONLY = {"text", "{toctree}", "{eval-rst}", "{math}"}


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def newcomer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder as after the set-up, and pictures at home."""
    for folder in ("examples", "studies"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    write_folder(tmp_path / "rooms", num_images=8, size=40)
    (tmp_path / "rooms" / "images").rename(tmp_path / "pictures")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.mark.filterwarnings("ignore:Against 2 images")  # fewer than what is shown has
@pytest.mark.usefixtures("newcomer")
@pytest.mark.parametrize("page", WITH_CODE, ids=name)
def test_what_a_page_shows_runs(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {}
    for language, code in blocks(page):
        if code.startswith(REASON):
            assert len(code.splitlines()[0]) > len(REASON)
        elif language == "sh":
            run_shell(code, monkeypatch)
        elif language == "python":
            run_python(code, names)
        elif language == "yaml":
            assert isinstance(yaml.safe_load(code), dict)
        else:
            assert language in SHOWN_ONLY, f"{language!r} is neither run nor marked: sh, python, yaml or text"


@pytest.mark.usefixtures("newcomer")
def test_the_five_lines_in_python_draw_posterior_samples() -> None:
    code = next(block.code for block in blocks(README) if block.language == "python")
    names: dict[str, Any] = {}
    run_python(code, names)

    samples, operator, y = names["samples"], names["operator"], names["y"]
    assert samples.shape == (1, 8, 3, 16, 16)
    misfit = (operator(samples[0]) - y).square().mean().sqrt()
    assert misfit < 0.1 < (operator(torch.zeros(1, 3, 16, 16)) - y).square().mean().sqrt()
    assert samples.std(dim=1).mean() > 0.01


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    named = re.findall(r"configs/[\w/]+\.yaml", text)
    named += [f"configs/{file}.yaml" for file in re.findall(r"--config ([a-z]\w*(?:/\w+)*)(?=[\s`\\])", text)]
    named += re.findall(r"(?<![\w/])(?:examples|studies|tests)/\w[\w/]*\.(?:py|md|yaml|sh)", text)
    assert [file for file in named if not (ROOT / file).exists()] == []
    modules = re.findall(r"python -m\s((?:studies|dis_lightning|notebooks)\.\w+)", text)
    assert [module for module in modules if find_spec(module) is None] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text().replace("\n", " "))
    there = [page.parent / link for link in links]
    assert [str(file) for file in there if not file.exists()] == []


def test_the_readme_names_configurations_and_is_short() -> None:
    text = README.read_text()
    assert re.findall(r"configs/[\w/]+\.yaml", text)
    assert len(text.split()) < 1000


ROWS = {
    "reference/solvers.md": (solvers, solvers.Solver),
    "reference/operators.md": (operators, operators.Operator),
    "how-to/metrics.md": (metrics, metrics.Metric),
    "how-to/priors.md": (priors, priors.Denoiser),
    "how-to/images.md": (data, data.ImageData),
}
"""Where each kind of thing that can be added has its row, as CONTRIBUTING says."""


@pytest.mark.parametrize("page", ROWS)
def test_every_class_has_its_row(page: str) -> None:
    package, base = ROWS[page]
    text = (ROOT / "docs" / page).read_text()
    rows = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    public = [getattr(package, word) for word in package.__all__]
    kinds = [kind for kind in public if isinstance(kind, type) and issubclass(kind, base) and not isabstract(kind)]
    assert kinds
    assert [kind.__name__ for kind in kinds if kind.__name__ not in re.findall(r"\w+", rows)] == []
    assert f"`{page}`" in (ROOT / "CONTRIBUTING.md").read_text()


@pytest.mark.usefixtures("newcomer")
@pytest.mark.parametrize(
    "command",
    ["dis-lightning predict --config no_such_file", "dis-lightning report nowhere", "make no-such-target", "srun x"],
)
def test_a_command_that_fails_is_found(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((AssertionError, subprocess.CalledProcessError)):
        run_shell(command + "\n", monkeypatch)
