"""What a run is made of, kept in its folder, so that two different runs never mix."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from dis_lightning.callbacks.folder import write_atomically
from dis_lightning.errors import InvalidValueError

__all__ = ["check_configuration", "expected_images", "leaves"]

FREE = ("trainer.", "writer.", "data.init_args.num_workers")
"""Keys that change nothing in the images: where and how fast a run is done."""


def check_configuration(folder: Path, configuration: dict[str, Any], *, write: bool) -> None:
    """Compare a configuration with the one that made a folder, and keep it there if nothing is finished in it.

    Args:
        folder: the run folder.
        configuration: nested keys and plain values.
        write: whether this process is the one that writes.

    Raises:
        ValueError: if the folder was made by another configuration; the message names the keys that differ.
    """
    file = folder / "config.yaml"
    if file.exists() and any(folder.glob("records/*.json")):
        kept, given = (dict(leaves(c)) for c in (yaml.safe_load(file.read_text()), configuration))
        differing = [key for key in sorted(kept | given) if kept.get(key) != given.get(key)]
        if differing := [key for key in differing if not key.startswith(FREE)]:
            lines = [f"  {key}: {kept.get(key)} there, {given.get(key)} now" for key in differing]
            raise InvalidValueError(
                f"The folder {folder} holds a run with another configuration:\n"
                + "\n".join(lines)
                + "\nChoose another folder (--writer.folder), repeat that configuration, or remove the folder."
            )
    elif write:
        write_atomically(file, yaml.safe_dump(configuration, sort_keys=False).encode())


def expected_images(folder: Path) -> int:
    """How many images the run of a folder has when it is finished; 0 where its configuration does not say."""
    file = folder / "config.yaml"
    configuration = yaml.safe_load(file.read_text()) if file.exists() else {}
    data = configuration.get("data") or {}
    return int(data.get("init_args", {}).get("num_images") or 0)  # null: all that there are


def leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and plain values of nested ones; lists count as values."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, f"{prefix}{key}.")
    else:
        yield prefix.removesuffix("."), tree
