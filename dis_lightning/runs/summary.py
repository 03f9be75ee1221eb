"""The sum of a run: `results.csv`, a row per image, and `metrics.json`, a mean per metric and its definition."""

import csv
import hashlib
import io
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from dis_lightning.errors import UserError
from dis_lightning.files import file_sha256, write_atomically
from dis_lightning.runs.configuration import as_written, read_configuration
from dis_lightning.runs.ledger import Ledger, read_whole, sealed
from dis_lightning.values import SECTIONS

if TYPE_CHECKING:
    from dis_lightning.metrics.base import ImageMetric, Metric

__all__ = [
    "Found",
    "Summary",
    "flatten",
    "means_so_far",
    "read_results",
    "read_summary",
    "reconfigured",
    "sections",
    "sum_up",
]

Found = list[dict[int, dict[str, Any]]]
"""What each metric has found, by image index and name."""

Summary = dict[str, Any]
"""The content of `metrics.json`."""

NO_TABLE = ("diverged", "clamped", "definitions", "calibration")
"""Its parts that hold no means."""


def sum_up(folder: Ledger, metrics: "Sequence[Metric]", found: Found, indices: list[int]) -> Summary:
    """Write `results.csv` and `metrics.json`; give the content of the latter.

    What both files hold already of the same images, and is not computed now, stays. A metric of the whole set that
    cannot be computed is a value that is missing, with the reason; the others are written all the same.

    Args:
        folder: the run folder.
        metrics: the metrics of the run.
        found: what each of them has found in all images, in the order of the indices.
        indices: the images, in order.

    Raises:
        Exception: what a metric of the whole set raises other than a user's mistake, after all others are written.
    """
    from dis_lightning.metrics.base import ImageMetric, SetMetric, entry  # late: reading a sum needs none of it

    records = [folder.require(index) for index in indices]
    earlier, table = _earlier(folder, indices)
    summary = {**earlier, **_header(records), "definitions": earlier.get("definitions", {})}
    pairs = list(zip(metrics, found, strict=True))
    for metric, rows in pairs:
        if isinstance(metric, ImageMetric):
            for index, values in rows.items():
                table[index].update(values)
            _merge(summary, {metric.section: _means(rows)}, metric)
    if configuration := read_configuration(folder):
        summary["configuration_sha256"] = as_written(configuration)
    faults = []
    for metric, rows in pairs:
        if isinstance(metric, SetMetric) and rows:
            try:
                content = metric.reduce(rows)
            except UserError as error:
                content = {metric.section: {metric.key: entry(None, missing=str(error))}}
            except Exception as error:  # a fault of the program must not take the other metrics with it
                faults.append(error)
                continue
            _merge(summary, content, metric)
    results = _as_csv(table, records)
    summary["results_sha256"] = hashlib.sha256(results).hexdigest()
    write_atomically(folder.results, results)  # just before the summary, for each is read beside the other alone
    write_atomically(folder.metrics, sealed(summary))
    if faults:
        raise faults[0]
    return summary


def read_summary(folder: Ledger) -> Summary | None:
    """What `metrics.json` holds; None where there is none, or it or the `results.csv` that it belongs to is damaged."""
    content = read_whole(folder.metrics)
    if content is None or not folder.results.is_file():
        return None
    return content if content.get("results_sha256") == file_sha256(folder.results) else None


def reconfigured(summary: Summary, configuration: dict[str, Any]) -> bool:
    """Whether a configuration is no longer the one that the run was summed up with."""
    return bool(summary.get("configuration_sha256", as_written(configuration)) != as_written(configuration))


def flatten(summary: Summary) -> dict[str, float]:
    """The means by `section/name`, for loggers."""
    means = {
        f"{section}/{name}": value["mean"]
        for section, values in sections(summary).items()
        for name, value in values.items()
        if value["mean"] is not None
    }
    return {**means, "diverged": summary["diverged"]["count"]}


def means_so_far(metrics: "Sequence[ImageMetric]") -> dict[str, float]:
    """The means over the images that this process has, by the names of `flatten`."""
    return {
        f"{metric.section}/{name}": value["mean"]
        for metric in metrics
        for name, value in _means(metric.rows).items()
        if value["mean"] is not None
    }


def sections(summary: Summary) -> dict[str, dict[str, dict[str, Any]]]:
    """The parts of a summary that hold means, by name."""
    found = {key: value for key, value in summary.items() if isinstance(value, dict) and key not in NO_TABLE}
    return {key: found[key] for key in dict.fromkeys([*SECTIONS, *found]) if key in found}


def read_results(file: Path) -> dict[int, dict[str, float]]:
    """The numbers of `results.csv` by index and name, those that there are."""
    with file.open(newline="", encoding="utf-8") as stream:
        rows = [(int(row.pop("index")), row.pop("name"), row) for row in csv.DictReader(stream)]
    return {index: {name: float(value) for name, value in row.items() if value} for index, _, row in rows}


def _header(records: list[dict[str, Any]]) -> Summary:
    lost = [f"{r['index']:05d}_{sample:02d}" for r in records for sample, gone in enumerate(r["diverged"]) if gone]
    shares = [
        share for r in records for share, gone in zip(r["clamped"] or [], r["diverged"], strict=False) if not gone
    ]
    return {
        "images": len(records),
        "samples_per_image": len(records[0]["diverged"]),
        "diverged": {"count": len(lost), "samples": lost},
        "clamped": {"mean": fmean(shares), "largest": max(shares)} if shares else {},
    }


def _earlier(folder: Ledger, indices: list[int]) -> tuple[Summary, dict[int, dict[str, float]]]:
    """What both files hold already; nothing where one is gone or damaged, or they are of other images."""
    summary = read_summary(folder)
    table = {} if summary is None else read_results(folder.results)
    if summary is None or list(table) != indices:
        return {}, {index: {} for index in indices}
    for values in table.values():
        values.pop("diverged", None)  # the records say it
    return summary, table


def _merge(summary: Summary, content: dict[str, dict[str, Any]], metric: "Metric") -> None:
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


def _as_csv(table: dict[int, dict[str, float]], records: list[dict[str, Any]]) -> bytes:
    """A row per image, as CSV: index, name, every value, and how many of its samples diverged."""
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
    return text.getvalue().encode(errors="backslashreplace")
