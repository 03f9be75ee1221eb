"""The command `dis-lightning report RUN [RUN ...]`."""

import os
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from dis_lightning.files import expanded
from dis_lightning.report.page import report

__all__ = ["report_command"]


def report_command(args: Sequence[str]) -> None:
    """Write a report and say where it is.

    Args:
        args: the arguments after `report`.

    Raises:
        FileNotFoundError: if a folder is not there, or a file of one is gone.
        ValueError: if a folder is no run folder, its run is not finished, or an argument is out of range.
    """
    parser = ArgumentParser(prog="dis-lightning report", description="Put finished runs side by side on one HTML page.")
    parser.add_argument("runs", nargs="+", type=expanded, metavar="RUN", help="folder of a finished run")
    parser.add_argument(
        "--output",
        type=expanded,
        help="the page (default: report.html in the run's folder, or in that of several runs)",
    )
    parser.add_argument("--max_images", type=int, default=100, help="images to show, the first ones (default: 100)")
    parser.add_argument("--max_samples", type=int, default=8, help="samples of each to show (default: 8)")
    options = parser.parse_args(args)
    output = options.output or _beside(options.runs)
    print(f"Report:   {report(options.runs, output, options.max_images, options.max_samples)}")


def _beside(runs: Sequence[Path]) -> Path:
    if len(runs) == 1:
        return runs[0] / "report.html"
    return Path(os.path.commonpath([run.resolve().parent for run in runs])) / "report.html"
