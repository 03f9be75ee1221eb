"""Reading the files of `configs/papers/`."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_run import ROOT

from dis_lightning.main import main

PAPERS = ROOT / "configs" / "papers"


def names(paper: str) -> set[str]:
    """All files of a paper, by their path without ending."""
    return {file.relative_to(PAPERS / paper).with_suffix("").as_posix() for file in (PAPERS / paper).rglob("*.yaml")}


def comment(file: Path) -> str:
    """The first lines of a file, as one."""
    return " ".join(line.strip("# \\") for line in file.read_text().splitlines() if line.startswith("#"))


def command(paper: str, name: str) -> list[str]:
    """The arguments of the command that stands in a file's first lines."""
    text = comment(PAPERS / paper / f"{name}.yaml")
    program, *arguments = shlex.split(text[text.index("dis-lightning predict") :])
    assert program == "dis-lightning"
    return arguments


def configuration(paper: str, name: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The whole configuration that the command in a file gives."""
    with pytest.raises(SystemExit) as stopped:
        main([*command(paper, name), "--print_config"])
    assert stopped.value.code == 0
    whole: dict[str, Any] = yaml.safe_load(capsys.readouterr().out)
    return whole


def flat(part: dict[str, Any]) -> dict[str, Any]:
    """Arguments by dotted name, classes by their own name."""
    named = {"class_path": part["class_path"].rpartition(".")[2]}
    for name, value in part.get("init_args", {}).items():
        if isinstance(value, dict):
            named |= {f"{name}.{key}": inner for key, inner in flat(value).items()}
        else:
            named[name] = value
    return named
