"""Run the notebooks, and keep what they gave: `python notebooks/execute.py [NAME ...]` writes the copies, `.ipynb`.

The sources are the `.py` files, in jupytext's percent format. Each runs in a folder of its own, gone afterwards.
"""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import jupytext
import nbformat
from nbclient import NotebookClient

__all__ = ["SOURCES", "execute", "read"]

FOLDER = Path(__file__).parent
SOURCES = sorted(FOLDER.glob("[0-9]*.py"))
"""The notebooks, in the order in which they are read."""


def read(source: Path) -> nbformat.NotebookNode:
    """A notebook from its source, with nothing in it that another reading would not give."""
    notebook: nbformat.NotebookNode = jupytext.read(source)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata = nbformat.NotebookNode()
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel})
    return notebook


def execute(source: Path) -> nbformat.NotebookNode:
    """Run a notebook from its source.

    Raises:
        CellExecutionError: if a cell fails.
    """
    notebook = read(source)
    with TemporaryDirectory() as folder:
        (Path(folder) / "looking.py").write_bytes((FOLDER / "looking.py").read_bytes())
        client = NotebookClient(
            notebook,
            kernel_name="python3",
            record_timing=False,  # times would change a copy that is otherwise the same
            resources={"metadata": {"path": folder}},
            timeout=300,
        )
        # Progress bars as widgets are nothing for a copy, nor is it that this machine has Slurm.
        quiet = ["ignore:IProgress not found", "ignore:The `srun` command is available"]
        client.execute(env={**os.environ, "PYTHONWARNINGS": ",".join(quiet)})
    return notebook


if __name__ == "__main__":
    for source in SOURCES:
        if not sys.argv[1:] or source.stem in sys.argv[1:]:
            print(source.stem, flush=True)
            nbformat.write(execute(source), source.with_suffix(".ipynb"))
