"""The notebooks run, and the copies that a reader opens are those of the sources."""

import re
from pathlib import Path

import nbformat
import pytest

from notebooks.execute import SOURCES, execute, read

KILOBYTES = 400


def test_there_are_five() -> None:
    assert [source.name[0] for source in SOURCES] == list("12345")


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_it_runs_and_nothing_complains(source: Path) -> None:
    outputs = [output for cell in execute(source).cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert any("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_the_copy_is_that_of_the_source(source: Path) -> None:
    copy = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    nbformat.validate(copy)
    written = [(cell.cell_type, cell.source) for cell in copy.cells]
    assert written == [(cell.cell_type, cell.source) for cell in read(source).cells], "make notebooks"
    counts = [cell.execution_count for cell in copy.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_the_copy_is_small_and_tells_nothing_of_the_machine(source: Path) -> None:
    text = source.with_suffix(".ipynb").read_text()
    assert len(text) < KILOBYTES * 1000
    assert re.findall(r"(?<![\w.~])/(?:home|root|tmp|work|Users|usr)/", text) == []
