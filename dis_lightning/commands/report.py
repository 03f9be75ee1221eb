"""The command `dis-lightning report RUN [RUN ...]`."""

import os
from collections.abc import Sequence
from pathlib import Path

from dis_lightning.arguments.parser import Parser
from dis_lightning.arguments.reading import read_arguments
from dis_lightning.files import expanded
from dis_lightning.runs.ledger import Ledger

__all__ = ["report_command"]

USAGE = "dis-lightning report RUN [RUN ...] [--output FILE]"


def report_command(args: Sequence[str]) -> None:
    """Write a report and say where it is.

    Args:
        args: the arguments after `report`.

    Raises:
        FileNotFoundError: if a folder is not there, or a file of one is gone.
        OSError: if the page or its tables would be written over other files.
        ValueError: if a folder is no run folder, its run is not finished, or an argument is out of range.
    """
    parser = Parser(prog="dis-lightning report", usage=USAGE, description="Put finished runs side by side on one page.")
    parser.add_argument("runs", nargs="+", type=expanded, metavar="RUN", help="folder of a finished run")
    parser.add_argument(
        "--output",
        type=expanded,
        help="the page; report.html in the run's folder, or in that of several runs, if not given",
    )
    parser.add_argument("--max_images", type=int, default=100, help="images to show, the first ones")
    parser.add_argument("--max_samples", type=int, default=8, help="samples of each to show")
    options = read_arguments(parser, args)
    from dis_lightning.report import report  # late: its pictures need what the help does without

    output = options.output or _beside(options.runs)
    print(f"Report:   {report(options.runs, output, options.max_images, options.max_samples)}")


def _beside(runs: Sequence[Path]) -> Path:
    folder = runs[0] if len(runs) == 1 else Path(os.path.commonpath([run.resolve().parent for run in runs]))
    return Ledger(folder).page
