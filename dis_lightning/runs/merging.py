"""Shards of one data set, run apart, put together to the run that samples them all."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dis_lightning.errors import InvalidValueError
from dis_lightning.files import flush, write_atomically
from dis_lightning.runs.configuration import FREE, SHARD, check_configuration, leaves, require_configuration
from dis_lightning.runs.contents import check_contents, read_contents
from dis_lightning.runs.folder import RunFolder
from dis_lightning.runs.grid import draw_grid
from dis_lightning.runs.lock import held
from dis_lightning.runs.summary import read_summary
from dis_lightning.shards import parts_of

__all__ = ["merge"]

CONTENT = ("samples", "sources", "measurements", "trajectories")
"""Folders of a run beside that of its records."""


class _Part(NamedTuple):
    """A finished run of one shard."""

    folder: RunFolder
    configuration: dict[str, Any]
    shard: str
    indices: list[int]


def merge(runs: Sequence[Path], output: Path) -> RunFolder:
    """Put the runs of all shards together in a new folder, all but the scores, which `evaluate` gives.

    Every file of every image is copied as it is. A merge that was interrupted goes on where it stopped.

    Args:
        runs: the folders of finished runs, one for each shard, in any order.
        output: the folder of the whole run.

    Returns:
        The new folder.

    Raises:
        FileNotFoundError: if a folder holds no run.
        ValueError: if a run is no shard, is not finished or has other settings; if two overlap or one is missing; or if
            the new folder holds another run.
        UnusablePathError: if the new folder cannot be written to, or a command is at work there.
    """
    parts = sorted(map(_read, runs), key=lambda part: parts_of(part.shard))
    _require_same(parts)
    _require_all(parts)
    whole = copy.deepcopy(parts[0].configuration)
    whole["data"]["init_args"]["shard"] = None
    whole["writer"]["folder"] = str(output)
    folder = RunFolder(output)
    folder.require_own()
    check_configuration(folder, whole, write=False)
    with held(output, "--output", wait=False):
        folder.sweep()
        check_configuration(folder, whole, write=True)
        check_contents(folder, read_contents(parts[0].folder))
        for part in parts:
            _copy(part, output)
        first = [folder.require(index) for part in parts for index in part.indices][: whole["writer"]["grid_images"]]
        draw_grid(folder, first, whole["writer"]["grid_samples"])
    return folder


def _read(run: Path) -> _Part:
    folder = RunFolder(run)
    configuration = require_configuration(folder)
    shard = dict(leaves(configuration)).get(SHARD)
    if shard is None or "trainer" not in configuration:
        raise InvalidValueError(
            f"{run} is not the run of a shard: it was made without --data.shard=i/n, or not by the command line."
        )
    indices, summary = folder.indices(), read_summary(folder)
    if summary is None or summary["images"] != len(indices):
        raise InvalidValueError(f"The run in {run} is not finished; give its command again, and then merge.")
    for index in indices:
        folder.require(index)
    return _Part(folder, configuration, shard, indices)


def _require_same(parts: Sequence[_Part]) -> None:
    """Refuse runs whose images or metrics are not made alike: those of one run are."""
    settings = [
        {key: value for key, value in leaves(part.configuration) if key == "trainer.callbacks" or not _free(key)}
        | {f"content of {key}": digest for key, digest in read_contents(part.folder).items()}
        for part in parts
    ]
    for part, given in zip(parts[1:], settings[1:], strict=True):
        lines = [
            f"  {key}: {settings[0].get(key)} there, {given.get(key)} here"
            for key in sorted(settings[0] | given)
            if settings[0].get(key) != given.get(key)
        ]
        if lines:
            raise InvalidValueError(
                f"{part.folder.path} has other settings than {parts[0].folder.path}:\n"
                + "\n".join(lines)
                + "\nOnly shards of one run are merged; run one of them again with the settings of the other."
            )


def _free(key: str) -> bool:
    return key == SHARD or key.startswith(FREE)


def _require_all(parts: Sequence[_Part]) -> None:
    """Refuse parts that overlap, and those that leave images out."""
    _, count = parts_of(parts[0].shard)
    owners: dict[int, _Part] = {}
    for part in parts:
        for index in part.indices:
            if index in owners:
                raise InvalidValueError(
                    f"{owners[index].folder.path} (shard {owners[index].shard}) and {part.folder.path} (shard "
                    f"{part.shard}) overlap: both hold image {index}. Give every shard once."
                )
            owners[index] = part
    if other := [part for part in parts if parts_of(part.shard)[1] != count]:
        raise InvalidValueError(
            f"{other[0].folder.path} is shard {other[0].shard}, but {parts[0].folder.path} is shard {parts[0].shard}; "
            "all must be parts of one division."
        )
    given = {part.shard for part in parts}
    if missing := [shard for shard in (f"{part}/{count}" for part in range(count)) if shard not in given]:
        raise InvalidValueError(f"Shards are missing: {', '.join(missing)}. Run them, and give their folders too.")
    if sorted(owners) != list(range(len(owners))):
        gap = next(index for index in range(len(owners)) if index not in owners)
        raise InvalidValueError(f"Image {gap} is in no shard; were they made of the same data?")


def _copy(part: _Part, output: Path) -> None:
    """Copy the files of all images, and then their records: a record means "done"."""
    for names in (CONTENT, ("records",)):
        files = [file for name in names for file in sorted((part.folder.path / name).glob("[!.]*"))]
        places = [output / file.relative_to(part.folder.path) for file in files]
        for file, place in zip(files, places, strict=True):
            write_atomically(place, file.read_bytes(), durable=False)
        flush(places)
