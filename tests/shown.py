"""What README and the pages show as code, in order, and how each piece is run."""

import contextlib
import io
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from small_run import ROOT

from dis_lightning.main import main

__all__ = ["PAGES", "REASON", "Shown", "blocks", "run_python", "run_shell"]

WRITTEN = {ROOT / "docs" / "reference" / name for name in ("commands.md", "configurations.md", "metrics.md")}
"""Pages that are made when the site is built."""

PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "notebooks/README.md", "configs/papers/README.md")),
        *(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts and page not in WRITTEN),
    ]
)
REASON = "# not run here: "
"""How a block that cannot be run in these tests begins: with its reason, for readers to see."""

SMALLER = ("--data.num_images=2", "--data.batch_size=1", "--trainer.accelerator=cpu")
FEWER_STEPS = "--model.levels.steps=3"


class Shown(NamedTuple):
    """A block of code."""

    language: str
    """What it says it is."""
    code: str
    """What is in it."""


def blocks(page: Path) -> list[Shown]:
    """The blocks of a page, in order."""
    found = re.findall(r"^( *)```([^\n]*)\n(.*?)^\1```$", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [Shown(language.strip(), code) for _, language, code in found]


def run_python(code: str, names: dict[str, Any]) -> None:
    """Run Python as the continuation of what was run before; a first comment `# name.py` makes it a file."""
    if file := re.match(r"# (\w+\.py)\n", code):
        Path(file[1]).write_text(code)
    exec(compile(code, "shown", "exec"), names)


def run_shell(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the commands of a block, `dis-lightning predict` on fewer images with fewer steps."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        into = Path(words[-1]) if ">" in words else None
        if words:
            said = _run(words[: words.index(">")] if into else words, monkeypatch)
            if into:
                into.write_text(said)


def _run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    match words:
        case ["dis-lightning", "predict", *arguments] if "configs/trainer/two_processes.yaml" in arguments:
            whole = [sys.executable, "-m", "dis_lightning", "predict", *_smaller(arguments)]
            return subprocess.run(whole, check=True, capture_output=True, text=True).stdout
        case ["dis-lightning", "predict", *arguments]:
            return _quietly(lambda: main(["predict", *_smaller(arguments)]))
        case ["dis-lightning", *arguments]:
            return _quietly(lambda: main(arguments))
        case ["python", "-m", module, *arguments]:
            monkeypatch.setattr(sys, "argv", [module, *arguments])
            for imported in (module, f"{module}.__main__"):  # by another test, and a command begins without it
                monkeypatch.delitem(sys.modules, imported, raising=False)
            return _quietly(lambda: runpy.run_module(module, run_name="__main__"))
        case ["make", target]:
            return _make(target, monkeypatch)
        case ["cp", *files, folder]:
            for file in files:
                shutil.copy(file, folder)
            return ""
        case ["source", ".venv/bin/activate"]:  # where `make` puts it
            return ""
    raise AssertionError(f"{shlex.join(words)}: teach the tests to run this, or begin its block with {REASON!r}")


def _make(target: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a target would run, but for the set-up and what runs these tests themselves."""
    planned = subprocess.run(
        ["make", "--dry-run", "--assume-old=.venv/.ready", target], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    commands = re.findall(r"\.venv/bin/python -m (\w+) ?(.*)", planned)
    assert commands, planned
    for module, arguments in commands:
        if module == "dis_lightning":
            _run(["dis-lightning", *shlex.split(arguments)], monkeypatch)
        else:
            assert module in {"pip", "pytest", "ruff", "mypy", "sphinx", "notebooks"}, planned
    return planned


def _smaller(arguments: list[str]) -> list[str]:
    """As little as will do, so that what is shown is as large as it should be and tested in a second."""
    if any(word.endswith("help") for word in arguments):
        return arguments
    return [*arguments, *SMALLER, FEWER_STEPS]


def _quietly(command: Any) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            command()
        except SystemExit as end:
            if end.code:  # help ends so too, with 0
                raise AssertionError(f"It ended with {end.code}, and said: {said.getvalue()}") from end
    return said.getvalue()
