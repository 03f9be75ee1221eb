"""The means of a run as a table in the terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table

from dis_lightning.runs.ledger import Ledger
from dis_lightning.runs.summary import Summary, sections

__all__ = ["clamped", "print_summary"]

MANY = 0.05
"""Share of values outside [-1, 1] from which on something is amiss; saturated pixels alone are fewer."""


def print_summary(summary: Summary, folder: Ledger, reused: int = 0) -> None:
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
    missing: list[str] = []
    for values in sections(summary).values():
        for name, value in values.items():
            definition = summary["definitions"].get(name, {})
            unit = f"should be {definition['level']:.4g}" if "level" in definition else definition.get("unit", "")
            table.add_row(name, *(_number(value[key]) for key in ("mean", "standard_error")), unit)
            if why := value.get("missing"):
                missing.append(f"No {name}: {why}.")
            if infinite := value.get("infinite"):
                missing.append(f"{name}: of {infinite} image{'s' * (infinite > 1)} it is infinite; left out.")
        table.add_section()
    console = Console()
    console.print(table)
    for line in missing:
        console.print(line, soft_wrap=True, highlight=False)
    if summary["diverged"]["count"]:
        console.print("Diverged samples:", ", ".join(summary["diverged"]["samples"]))
    if said := clamped(summary):
        console.print(f"Clamped: {said}", highlight=False)
    if reused:
        console.print(f"Reused: {reused} of {summary['images']} images were finished before.", highlight=False)
    console.print(f"Pictures: {folder.grid}", soft_wrap=True, highlight=False)
    if folder.samples.exists():  # not where all diverged
        console.print(f"Samples:  {folder.samples}", soft_wrap=True, highlight=False)


def clamped(summary: Summary) -> str:
    """What is to be said of values that were clamped to the range of pictures; empty where they were few.

    Args:
        summary: content of `metrics.json`.
    """
    share = summary["clamped"].get("mean", 0.0)
    if share <= MANY:
        return ""
    return f"{share:.0%} of the values of the samples lay outside [-1, 1]; is the guidance too strong?"


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}"
