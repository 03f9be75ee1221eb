"""Pages that the project itself has: commands, configuration files with what is in them, metrics, the notebooks."""

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from sphinx.application import Sphinx

from dis_lightning import metrics
from dis_lightning.main import COMMANDS
from dis_lightning.metrics import Metric
from dis_lightning.metrics.base import SECTIONS

__all__ = ["setup"]

CONFIGS = Path(__file__).parents[2] / "configs"
NOTEBOOKS = CONFIGS.parent / "notebooks"

CONFIGURATIONS = """# Configuration files

All of them ship with the package and are found by name from any folder: `--config configs/solvers/dps.yaml`, or for
short `--config solvers/dps`. They may be given together and in any order; an option overrides them, and a later file an
earlier one.
"""
COMMAND_LINE = """# Commands

What each says of itself by `--help`. `dis-lightning predict --model.help DPS` explains a class, and so for all parts.
"""
METRICS = """# Metrics

Every number stands in `metrics.json` with its definition. An arrow says which direction is better; a spread has none.
What has a star is asked for, by a file of `configs/callbacks/`; the others are computed in every run that they apply
to.
"""


def _said(file: Path) -> str:
    """The comment at the head of a file."""
    lines = file.read_text(encoding="utf-8").splitlines()
    head = []
    for line in lines:
        if not line.startswith("#"):
            break
        head.append(line.removeprefix("#").strip())
    return " ".join(head)


def _configurations() -> Iterator[str]:
    yield CONFIGURATIONS
    for folder in sorted({file.parent for file in CONFIGS.rglob("*.yaml")}):
        yield f"## {folder.relative_to(CONFIGS.parent)}\n"
        for file in sorted(folder.glob("*.yaml")):
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
            text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
            yield f"### {file.name}\n\n{_said(file)}\n\n```yaml\n{text}```\n"


def _commands() -> Iterator[str]:
    yield COMMAND_LINE
    for name in ("", *COMMANDS):
        words = [*filter(None, [name]), "--help"]
        asked = [sys.executable, "-m", "dis_lightning", *words]
        environment = {**os.environ, "COLUMNS": "100"}
        # A process of its own, for it sets what belongs to one.
        said = subprocess.run(asked, env=environment, cwd=CONFIGS.parent, check=True, capture_output=True, text=True)
        yield f"## {' '.join(['dis-lightning', *words[:-1]])}\n\n```text\n{said.stdout.rstrip()}\n```\n"


def _metrics() -> Iterator[str]:
    yield METRICS
    usual = {type(metric).__name__ for metric in metrics.default_metrics()}
    found: list[type[Metric]] = [
        kind for name in metrics.__all__ if inspect.isclass(kind := getattr(metrics, name)) and issubclass(kind, Metric)
    ]
    kinds = [kind for kind in found if not inspect.isabstract(kind)]
    for section, heading in SECTIONS.items():
        of_it = sorted((kind for kind in kinds if kind.section == section), key=lambda kind: kind.__name__ not in usual)
        if not of_it:
            continue
        yield f"## {heading}\n\n| value | shown as | of | what |\n|---|---|---|---|"
        for kind in of_it:
            what = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
            mark = "" if kind.__name__ in usual else " \\*"
            for name, value in kind.values.items():
                title = " ".join(filter(None, [value.title, value.unit and f"({value.unit})", value.better.arrow]))
                yield f"| `{name}` | {title} | `{kind.__name__}`{mark} | {what} |"
        yield ""


def _write(app: Sphinx) -> None:
    pages: dict[str, Any] = {
        "commands.md": _commands(),
        "configurations.md": _configurations(),
        "metrics.md": _metrics(),
    }
    for name, parts in pages.items():
        page, text = Path(app.srcdir) / "reference" / name, "\n".join(parts)
        # Written only where something has changed, so that nothing is built again for nothing.
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")
    for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
        copy = Path(app.srcdir) / "notebooks" / notebook.name
        if not copy.exists() or copy.read_bytes() != notebook.read_bytes():
            copy.write_bytes(notebook.read_bytes())


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages before any page is read."""
    app.connect("builder-inited", _write)
    return {"parallel_read_safe": True}
