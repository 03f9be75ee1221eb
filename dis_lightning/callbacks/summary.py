"""The sum of a run: `results.csv`, a row per image, and `metrics.json`, a mean per metric and its definition."""

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from dis_lightning.callbacks.folder import RunFolder, write_atomically
from dis_lightning.callbacks.metric import ImageMetric, Metric, SetMetric

__all__ = ["Found", "Summary", "flatten", "read_results", "sections", "sum_up"]

Found = list[dict[int, dict[str, Any]]]
"""What each metric has found, by image index and name."""

Summary = dict[str, Any]
"""The content of `metrics.json`."""

ORDER = ("metrics", "set", "consistency", "posterior", "chains", "cost")
"""How the sections that are known follow each other."""

NO_TABLE = ("diverged", "definitions", "calibration")
"""Its parts that hold no means."""


def sum_up(folder: RunFolder, metrics: Sequence[Metric], found: Found, indices: list[int]) -> Summary:
    """Write `results.csv` and `metrics.json`; give the content of the latter.

    What the images' own values say is written before the metrics of the whole set are computed, which may refuse. What
    both files hold already of the same images, and is not computed now, stays.

    Args:
        folder: the run folder.
        metrics: the metrics of the run.
        found: what each of them has found in all images, in the order of the indices.
        indices: the images, in order.
    """
    records = [folder.record(index) for index in indices]
    earlier, table = _earlier(folder.path, indices)
    summary = {**earlier, **_header(records), "definitions": earlier.get("definitions", {})}
    pairs = list(zip(metrics, found, strict=True))
    for metric, rows in pairs:
        if isinstance(metric, ImageMetric):
            for index, values in rows.items():
                table[index].update(values)
            _merge(summary, {metric.section: _means(rows)}, metric)
    _write_results(folder.path / "results.csv", table, records)
    _write_metrics(folder.path / "metrics.json", summary)
    for metric, rows in pairs:
        if isinstance(metric, SetMetric) and rows:
            _merge(summary, metric.reduce(rows), metric)
    _write_metrics(folder.path / "metrics.json", summary)
    return summary


def flatten(summary: Summary) -> dict[str, float]:
    """The means by `section/name`, for loggers."""
    means = {
        f"{section}/{name}": value["mean"]
        for section, values in sections(summary).items()
        for name, value in values.items()
        if value["mean"] is not None
    }
    return {**means, "diverged": summary["diverged"]["count"]}


def sections(summary: Summary) -> dict[str, dict[str, dict[str, Any]]]:
    """The parts of a summary that hold means, by name."""
    found = {key: value for key, value in summary.items() if isinstance(value, dict) and key not in NO_TABLE}
    return {key: found[key] for key in sorted(found, key=lambda key: ORDER.index(key) if key in ORDER else len(ORDER))}


def read_results(file: Path) -> dict[int, dict[str, float]]:
    """The numbers of `results.csv` by index and name, those that there are."""
    with file.open(newline="", encoding="utf-8") as stream:
        rows = [(int(row.pop("index")), row.pop("name"), row) for row in csv.DictReader(stream)]
    return {index: {name: float(value) for name, value in row.items() if value} for index, _, row in rows}


def _header(records: list[dict[str, Any]]) -> Summary:
    lost = [f"{r['index']:05d}_{sample:02d}" for r in records for sample, gone in enumerate(r["diverged"]) if gone]
    return {
        "images": len(records),
        "samples_per_image": len(records[0]["diverged"]),
        "diverged": {"count": len(lost), "samples": lost},
    }


def _earlier(folder: Path, indices: list[int]) -> tuple[Summary, dict[int, dict[str, float]]]:
    """What `metrics.json` and `results.csv` hold already; nothing where one is gone or is of other images."""
    metrics, results = folder / "metrics.json", folder / "results.csv"
    table = read_results(results) if metrics.exists() and results.exists() else {}
    if list(table) != indices:
        return {}, {index: {} for index in indices}
    for values in table.values():
        values.pop("diverged", None)  # the records say it
    return json.loads(metrics.read_text()), table


def _merge(summary: Summary, content: dict[str, dict[str, Any]], metric: Metric) -> None:
    """Add what a metric gives, section by section, and the definitions of it."""
    for section, values in content.items():
        if values:
            summary.setdefault(section, {}).update(values)
        names = [section] if section in NO_TABLE else values
        summary["definitions"].update({name: metric.definition(name) for name in names})


def _means(rows: dict[int, dict[str, float]]) -> dict[str, dict[str, Any]]:
    """Reduce values by image to a mean with its standard error for every name.

    An image whose samples all diverged has no value, and an exact image has an infinite PSNR; both are left out of the
    mean. `images` says how many went in, `infinite` how many were infinite.
    """
    columns: dict[str, list[float]] = {}
    for values in rows.values():
        for name, value in values.items():
            columns.setdefault(name, []).append(value)
    return {name: _reduce(values) for name, values in columns.items()}


def _reduce(values: list[float]) -> dict[str, Any]:
    finite = [value for value in values if math.isfinite(value)]
    return {
        "mean": fmean(finite) if finite else None,
        "standard_error": stdev(finite) / math.sqrt(len(finite)) if len(finite) > 1 else None,
        "images": len(finite),
        "infinite": sum(map(math.isinf, values)),
    }


def _write_results(file: Path, table: dict[int, dict[str, float]], records: list[dict[str, Any]]) -> None:
    """Write a row per image: index, name, every value, and how many of its samples diverged."""
    rows = [
        {
            "index": record["index"],
            "name": record["name"],
            **table[record["index"]],
            "diverged": sum(record["diverged"]),
        }
        for record in records
    ]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    # A file name may hold bytes that are no text.
    write_atomically(file, text.getvalue().encode(errors="backslashreplace"))


def _write_metrics(file: Path, summary: Summary) -> None:
    write_atomically(file, json.dumps(summary, indent=1).encode())
