"""The sum of a run: `results.csv`, a row per image, and `metrics.json`, a mean per metric."""

import csv
import io
import json
import math
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from rich.console import Console
from rich.table import Table

from dis_lightning.callbacks.folder import write_atomically

__all__ = ["Rows", "Summary", "flatten", "print_summary", "summarise", "write_metrics", "write_results"]

Rows = dict[int, dict[str, dict[str, float]]]
"""Values by image index, section ("metrics", "cost") and name."""

Summary = dict[str, Any]
"""The content of `metrics.json`."""


def summarise(rows: Rows, records: list[dict[str, Any]]) -> Summary:
    """Reduce the rows to a mean with its standard error for every value.

    An image whose samples all diverged has no value, and an exact image has an infinite PSNR; both are left out of the
    mean. `images` says how many went in, `infinite` how many were infinite.

    Args:
        rows: the values of all images.
        records: the images' records, in the same order.
    """
    lost = [f"{r['index']:05d}_{sample:02d}" for r in records for sample, gone in enumerate(r["diverged"]) if gone]
    columns: dict[str, dict[str, list[float]]] = {}
    for row in rows.values():
        for section, values in row.items():
            for name, value in values.items():
                columns.setdefault(section, {}).setdefault(name, []).append(value)
    return {
        "images": len(records),
        "samples_per_image": len(records[0]["diverged"]),
        "diverged": {"count": len(lost), "samples": lost},
        **{section: {name: _reduce(v) for name, v in values.items()} for section, values in columns.items()},
    }


def flatten(summary: Summary) -> dict[str, float]:
    """The means by `section/name`, for loggers."""
    means = {
        f"{section}/{name}": value["mean"]
        for section, values in _sections(summary).items()
        for name, value in values.items()
        if value["mean"] is not None
    }
    return {**means, "diverged": summary["diverged"]["count"]}


def write_results(file: Path, rows: Rows, records: list[dict[str, Any]]) -> None:
    """Write a row per image: index, name, every value, and how many of its samples diverged."""
    table = [
        {"index": record["index"], "name": record["name"]}
        | {name: value for values in row.values() for name, value in values.items()}
        | {"diverged": sum(record["diverged"])}
        for record, row in zip(records, rows.values(), strict=True)
    ]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(table[0]))
    writer.writeheader()
    writer.writerows(table)
    # A file name may hold bytes that are no text.
    write_atomically(file, text.getvalue().encode(errors="backslashreplace"))


def write_metrics(file: Path, summary: Summary) -> None:
    """Write the summary."""
    write_atomically(file, json.dumps(summary, indent=1).encode())


def print_summary(summary: Summary, folder: Path) -> None:
    """Show the means, what diverged and where the files are."""
    table = Table(title=f"Images: {summary['images']}, posterior samples of each: {summary['samples_per_image']}")
    table.add_column("per image")
    table.add_column("mean", justify="right")
    table.add_column("standard error", justify="right")
    for values in _sections(summary).values():
        for name, value in values.items():
            table.add_row(name, *(_number(value[key]) for key in ("mean", "standard_error")))
        table.add_section()
    console = Console()
    console.print(table)
    if summary["diverged"]["count"]:
        console.print("Diverged samples:", ", ".join(summary["diverged"]["samples"]))
    console.print(f"Pictures: {folder / 'grid.png'}\nSamples:  {folder / 'samples'}", soft_wrap=True, highlight=False)


def _sections(summary: Summary) -> dict[str, dict[str, dict[str, Any]]]:
    return {key: value for key, value in summary.items() if isinstance(value, dict) and key != "diverged"}


def _reduce(values: list[float]) -> dict[str, Any]:
    finite = [value for value in values if math.isfinite(value)]
    return {
        "mean": fmean(finite) if finite else None,
        "standard_error": stdev(finite) / math.sqrt(len(finite)) if len(finite) > 1 else None,
        "images": len(finite),
        "infinite": sum(map(math.isinf, values)),
    }


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
