"""The means of a run as a table in the terminal."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from dis_lightning.callbacks.summary import Summary, sections

__all__ = ["print_summary"]


def print_summary(summary: Summary, folder: Path, reused: int = 0) -> None:
    """Show the means, what diverged and where the files are.

    Args:
        summary: content of `metrics.json`.
        folder: the run folder.
        reused: number of images that an earlier run had finished.
    """
    table = Table(title=f"Images: {summary['images']}, posterior samples of each: {summary['samples_per_image']}")
    table.add_column("metric")
    table.add_column("mean", justify="right")
    table.add_column("standard error", justify="right")
    table.add_column("unit")
    for values in sections(summary).values():
        for name, value in values.items():
            unit = summary["definitions"].get(name, {}).get("unit", "")
            table.add_row(name, *(_number(value[key]) for key in ("mean", "standard_error")), unit)
        table.add_section()
    console = Console()
    console.print(table)
    if summary["diverged"]["count"]:
        console.print("Diverged samples:", ", ".join(summary["diverged"]["samples"]))
    if reused:
        console.print(f"Reused: {reused} of {summary['images']} images were finished before.", highlight=False)
    console.print(f"Pictures: {folder / 'grid.png'}\nSamples:  {folder / 'samples'}", soft_wrap=True, highlight=False)


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}"
