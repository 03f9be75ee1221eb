"""What a run is made of, kept in its folder, so that two different runs never mix."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any, cast

import yaml

from dis_lightning.errors import InvalidValueError, MissingFileError
from dis_lightning.files import expanded, write_atomically
from dis_lightning.runs.ledger import Ledger
from dis_lightning.shards import places_of

__all__ = [
    "FREE",
    "LINKED",
    "MOST_THREADS",
    "as_written",
    "check_configuration",
    "expected_images",
    "fingerprint",
    "leaves",
    "read_configuration",
    "require_configuration",
]

FREE = ("trainer.", "writer.", "data.init_args.num_workers")
"""Keys that change nothing in the images: where and how fast a run is done."""

ROUNDING = (
    "threads",
    "data.init_args.batch_size",
    "denoiser.init_args.micro_batch",
    "consistency.init_args.micro_batch",
)
"""Keys that change the order of sums and so the last bits of the images; a run may go on with others."""

IMAGES = "data.init_args.num_images"
"""The key by which a run may grow."""

MOST_THREADS = 1024
"""CPU threads of a process; a system gives some thousands, and falls over above."""

SHARD = "data.init_args.shard"
"""The key by which a run is a part of another, whose images come out the same."""

LINKED = ("operator", "denoiser", "consistency")
"""Keys of the parts that are given to the solver."""

PARTS = ("data", *LINKED, "model")
"""Keys of classes and their arguments."""

KEYS = (*PARTS, "writer", "trainer")
"""Keys that hold further ones, where there is anything."""


def check_configuration(folder: Ledger, configuration: dict[str, Any], *, write: bool) -> None:
    """Compare a configuration with the one that made a folder, and keep it there.

    A run may go on with more images, another batch size or number of threads, and its data may be named by another
    path; everything else that the images depend on must be as it was.

    Args:
        folder: the run folder.
        configuration: nested keys and plain values.
        write: whether this process is the one that writes.

    Raises:
        ValueError: if the folder was made by another configuration, the message names the keys that differ; or if it
            holds an image that was not made by this one, or of which nothing says by what.
    """
    kept = read_configuration(folder)
    if kept is not None and (differing := list(_differing(kept, configuration))):
        raise InvalidValueError(
            f"The folder {folder.path} holds a run with another configuration:\n"
            + "\n".join(f"  {key}: {there} there, {now} now" for key, there, now in differing)
            + "\nChoose another folder (--writer.folder), repeat that configuration, or remove the folder."
        )
    lost = f"has lost its {folder.configuration.name}"
    _check_records(folder, configuration, lost if kept is None else "holds images of another run")
    if write:
        write_atomically(folder.configuration, yaml.safe_dump(configuration, sort_keys=False).encode())


def read_configuration(folder: Ledger) -> dict[str, Any] | None:
    """The configuration of a run; None where there is none.

    Raises:
        ValueError: if the file is damaged.
    """
    if not folder.configuration.exists():
        return None
    try:
        content = yaml.safe_load(folder.configuration.read_text(encoding="utf-8"))
        fault = _fault(content)
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        fault = str(error).replace("\n", " ")
    if fault:
        raise InvalidValueError(
            f"{folder.configuration} is damaged ({fault}). Remove it and give the run's command again: if the images "
            "were made by the same configuration, it is written anew."
        )
    return cast(dict[str, Any], content)


def require_configuration(folder: Ledger) -> dict[str, Any]:
    """The configuration of a run that must have one.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if the file is damaged.
    """
    configuration = read_configuration(folder)
    if configuration is None:
        raise MissingFileError(f"{folder.configuration} does not exist; give the folder of a run (--writer.folder).")
    return configuration


def fingerprint(configuration: dict[str, Any]) -> str:
    """What tells configurations apart by which images come out different; every record carries it."""
    return _digest({key: _plain(value) for key, value in _telling(configuration).items()})


def as_written(configuration: dict[str, Any]) -> str:
    """A digest of the same keys by their text alone, wherever it is read; a summary carries it."""
    return _digest(_telling(configuration))


def expected_images(folder: Ledger) -> int:
    """How many images the run of a folder has when it is finished; 0 where its configuration does not say."""
    configuration = read_configuration(folder) or {}
    data = _data(configuration)
    images = int(data.get("num_images") or 0)
    if data.get("names"):  # of a list fewer may be taken
        return 0
    return len(places_of(data["shard"], images, int(data["batch_size"]))) if data.get("shard") and images else images


def leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and plain values of nested ones; lists count as values."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, f"{prefix}{key}.")
    else:
        yield prefix.removesuffix("."), tree


def _fault(content: Any) -> str:
    """What is in a configuration that no run writes; empty where there is nothing."""
    if not isinstance(content, dict):
        return "it holds no keys"
    for key in KEYS:
        if not isinstance(content.get(key) or {}, dict):
            return f"{key} has no keys"
    for key in PARTS:
        if not isinstance((content.get(key) or {}).get("init_args", {}), dict):
            return f"{key}.init_args has no keys"
    if not isinstance((content.get("writer") or {}).get("reported") or {}, dict):
        return "writer.reported has no keys"
    counts = {f"data.{name}": _data(content).get(name) for name in ("num_images", "batch_size")}
    counts = {name: count for name, count in counts.items() if count is not None}
    wrong = [name for name, count in counts.items() if not isinstance(count, int) or count < 1]
    if wrong:
        return f"{wrong[0]} is {counts[wrong[0]]!r}"
    threads = content.get("threads", 1)
    return "" if isinstance(threads, int) and 1 <= threads <= MOST_THREADS else f"threads is {threads!r}"


def _telling(configuration: dict[str, Any]) -> dict[str, Any]:
    """What the images depend on, by dotted key."""
    ignored = (*FREE, *ROUNDING, IMAGES, SHARD)
    return {key: value for key, value in leaves(configuration) if not key.startswith(ignored)}


def _digest(plain: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()


def _data(configuration: dict[str, Any]) -> dict[str, Any]:
    return dict((configuration.get("data") or {}).get("init_args", {}))


def _differing(kept: dict[str, Any], given: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    there, now = dict(leaves(kept)), dict(leaves(given))
    for key in sorted(there | now):
        if key.startswith((*FREE, *ROUNDING)) or _plain(there.get(key)) == _plain(now.get(key)):
            continue
        if key == IMAGES and not _fewer(there.get(key), now.get(key)):
            continue
        yield key, there.get(key), now.get(key)


def _fewer(there: int | None, now: int | None) -> bool:
    """Whether a run would shrink; None means all images that there are."""
    return now is not None and (there is None or now < there)


def _plain(value: Any) -> Any:
    """A value in one spelling, where it has several: a path that is there, by its real place."""
    if isinstance(value, str) and ("/" in value or value.startswith("~")):
        path = expanded(value)
        return str(path.resolve()) if path.exists() else value
    return value


def _check_records(folder: Ledger, configuration: dict[str, Any], fault: str) -> None:
    """The records must say that they were made by this configuration, wherever its files lay then."""
    made = {"made_by": fingerprint(configuration), "written_as": as_written(configuration)}
    for index in folder.indices():
        record = folder.record(index)
        if record is not None and not any(record.get(key) == digest for key, digest in made.items()):
            raise InvalidValueError(
                f"The folder {folder.path} {fault}: image {index} in it was not made by this configuration (or before "
                "records said by which). Choose another folder (--writer.folder), remove this one, or remove the "
                f"records in {folder.records} that are of another run, whose images are made anew then."
            )
