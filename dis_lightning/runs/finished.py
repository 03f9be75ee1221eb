"""Finished runs, read from their folders alone.

A run is finished when its `metrics.json` is there, of all images that its configuration asks for, and every image of
its `results.csv` still has its record and its files. Runs are called by the shortest end of their paths that tells them
apart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dis_lightning.errors import InvalidValueError, MissingFileError
from dis_lightning.runs.configuration import FREE, expected_images, leaves, read_configuration
from dis_lightning.runs.ledger import Ledger
from dis_lightning.runs.summary import Summary, read_results, read_summary, reconfigured, sections

if TYPE_CHECKING:
    from dis_lightning.runs.folder import RunFolder

__all__ = [
    "Image",
    "Run",
    "comparability",
    "defined_differently",
    "differences",
    "of_same_images",
    "read_runs",
    "same_images",
]

Image = tuple[int, str]
"""Position in the data set and SHA-256 of the clean image's file."""


@dataclass(frozen=True)
class Run:
    """What a run folder says.

    Attributes:
        label: what the run is called on the page.
        ledger: its files and records.
        configuration: its nested keys, as kept in `config.yaml`.
        summary: its `metrics.json`.
        records: the records of its images by index.
        values: its `results.csv`: the numbers of every image by index and name.
    """

    label: str
    ledger: Ledger
    configuration: dict[str, Any]
    summary: Summary
    records: dict[int, dict[str, Any]]
    values: dict[int, dict[str, float]]

    @property
    def folder(self) -> "RunFolder":
        """Its files, with what is in them as tensors."""
        from dis_lightning.runs.folder import RunFolder  # late: a report needs no tensor

        return RunFolder(self.ledger.path)

    @property
    def solver(self) -> str:
        """The class of the solver; empty where the configuration does not say it."""
        return self._class("model")

    @property
    def operator(self) -> str:
        """The class of the operator; empty where the configuration does not say it."""
        return self._class("operator")

    @property
    def data(self) -> str:
        """The class of the data; empty where the configuration does not say it."""
        return self._class("data")

    @property
    def samples(self) -> int:
        """Number of posterior samples of each image."""
        return int(self.summary["samples_per_image"])

    @property
    def images(self) -> list[Image]:
        """The images of the run: where nobody knows the clean one, its name stands for it."""
        return [
            (index, record["sha256"].get(self.ledger.name(self.ledger.source(index)), record["name"]))
            for index, record in self.records.items()
        ]

    @property
    def sections(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The parts of the summary that hold means, by name."""
        return sections(self.summary)

    @property
    def reported(self) -> dict[str, dict[str, float]]:
        """What a paper reports for this run: values by source and name, from the key `writer.reported`."""
        values = dict((self.configuration.get("writer") or {}).get("reported") or {})
        return {str(values.pop("source", "a paper")): values} if values else {}

    def _class(self, key: str) -> str:
        return str((self.configuration.get(key) or {}).get("class_path", "")).rpartition(".")[2]


def read_runs(folders: Sequence[Path], labels: Sequence[str] | None = None) -> list[Run]:
    """Read finished runs.

    Args:
        folders: the run folders, each once.
        labels: what they are called; by default the ends of their paths.

    Raises:
        FileNotFoundError: if a folder is not there, or a file of one is gone.
        ValueError: if there is no folder, one is named twice, one is no run folder, or its run is not finished.
    """
    if not folders:
        raise InvalidValueError("A report needs at least one run folder.")
    ends = _labels(folders)
    return [_read(folder, label) for folder, label in zip(folders, labels or ends, strict=True)]


def differences(runs: Sequence[Run]) -> dict[str, list[str]]:
    """What the runs do not share: one text per run, by dotted key of the configuration."""
    flat = [dict(leaves(run.configuration)) for run in runs]
    keys = dict.fromkeys(key for one in flat for key in one if not key.startswith(FREE))
    texts = {key: [str(one.get(key, "")) for one in flat] for key in keys}
    return {key: row for key, row in texts.items() if len(set(row)) > 1}


def same_images(runs: Sequence[Run]) -> bool:
    """Whether the runs have the same clean images, so that their means can be compared."""
    return len({tuple(run.images) for run in runs}) == 1


def comparability(runs: Sequence[Run]) -> str | None:
    """What is to be known before the means of the runs are compared; None where nothing stands against it."""
    if not same_images(runs):
        return "These runs do not have the same images, so their means cannot be compared, and no best is marked."
    if measured := [key for key in differences(runs) if key.startswith("operator.")]:
        keys = ", ".join(measured)
        return f"These runs do not have the same measurements ({keys}): a better mean may be that of an easier problem."
    return None


def defined_differently(runs: Sequence[Run], name: str) -> list[str]:
    """In which keys the runs' definitions of a metric differ, but for how many images they saw; none where they agree.

    Args:
        runs: the runs; those that do not have the metric do not count.
        name: its name in `metrics.json`.
    """
    having = [run for run in runs if any(name in part for part in run.sections.values())]
    found = [run.summary.get("definitions", {}).get(name, {}) for run in having]
    keys = dict.fromkeys(key for definition in found for key in definition if key not in ("n", "caution"))
    return [key for key in keys if len({str(definition.get(key)) for definition in found}) > 1]


def of_same_images(runs: Sequence[Run], section: str, name: str) -> bool:
    """Whether the runs' means of a metric are over the same of their images, all of which they share.

    Images whose samples all diverged, or whose value is infinite, are in no mean.

    Args:
        runs: the runs; those that have no mean do not count.
        section: where it stands in `metrics.json`.
        name: its name there.
    """
    entries = [(run, run.sections.get(section, {}).get(name, {})) for run in runs]
    return len({_seen(run, entry, name) for run, entry in entries if entry.get("mean") is not None}) < 2


def _seen(run: Run, entry: dict[str, Any], name: str) -> tuple[Any, ...]:
    """What tells which images are in a mean; of a value of the whole set, how many, and which samples are in none."""
    values = {index: row[name] for index, row in run.values.items() if name in row}
    if values:
        return tuple(index for index, value in values.items() if math.isfinite(value))
    whole = entry["images"] == run.summary["images"]
    return (entry["images"], *(() if whole else run.summary["diverged"]["samples"]))


def _read(path: Path, label: str) -> Run:
    if not path.is_dir():
        raise MissingFileError(f"There is no folder {path}. Give the folder that a run has written (--writer.folder).")
    folder = Ledger(path)
    configuration = read_configuration(folder)
    if configuration is None:
        raise InvalidValueError(
            f"{path} is not the folder of a run: it lacks {folder.configuration.name}. Give the folder that a run has "
            "written (--writer.folder)."
        )
    summary = read_summary(folder)
    if summary is None:
        files = f"{folder.metrics.name} or {folder.results.name}"
        reason = f"{len(folder.indices())} images have a record, and {files} is not there, or damaged"
        raise InvalidValueError(_unfinished(path, reason))
    if reconfigured(summary, configuration):
        raise InvalidValueError(
            f"{folder.configuration} is not as it was when the run was summed up. Put back what was changed there, or "
            f"have it scored as it stands: dis-lightning evaluate {path}."
        )
    values = read_results(folder.results)
    if len(values) < (expected := expected_images(folder)):
        raise InvalidValueError(_unfinished(path, f"{len(values)} of its {expected} images are there and scored"))
    return Run(label, folder, configuration, summary, {index: folder.require(index) for index in values}, values)


def _unfinished(path: Path, reason: str) -> str:
    return f"The run in {path} is not finished: {reason}. Give its command again, which computes what is missing."


def _labels(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths, all of one length, that differ."""
    parts = [folder.resolve().parts for folder in folders]
    if len(set(parts)) < len(parts):
        twice = next(folder for folder, tail in zip(folders, parts, strict=True) if parts.count(tail) > 1)
        raise InvalidValueError(f"The run {twice} is named twice; name every run once.")
    length = next(n for n in range(1, 1 + max(map(len, parts))) if len({tail[-n:] for tail in parts}) == len(parts))
    return ["/".join(tail[-length:]) for tail in parts]
