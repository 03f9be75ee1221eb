"""What is in the files that a configuration names: one that changes under its name makes other images."""

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from dis_lightning.errors import InvalidValueError
from dis_lightning.files import expanded, file_sha256, write_atomically
from dis_lightning.runs.configuration import leaves
from dis_lightning.runs.ledger import Ledger

__all__ = ["check_contents", "contents", "read_contents"]

PARTS = ("model", "denoiser", "consistency", "operator")
"""What images depend on beside the data, whose images are compared one by one."""


def contents(configuration: dict[str, Any]) -> dict[str, str]:
    """SHA-256 of each file that a part of a run is named by, such as weights, a mask or the code of one's own class.

    Args:
        configuration: nested keys and plain values.

    Returns:
        Digests by dotted key; of a folder, one of all the files in it. What ships with a package is told by its
        version, what a card names by its own digest; a script that is run may change, for it says what is run too.
    """
    parts = {key: configuration[key] for key in PARTS if key in configuration}
    named = {key: _code(value) if key.endswith("class_path") else _place(value) for key, value in leaves(parts)}
    return {key: _digest(place) for key, place in named.items() if place is not None}


def check_contents(folder: Ledger, now: dict[str, str]) -> None:
    """Compare files with what they held when a folder was made, and keep that there.

    Args:
        folder: the run folder.
        now: what `contents` gives.

    Raises:
        ValueError: if a file has changed since.
    """
    changed = [key for key, digest in read_contents(folder).items() if now.get(key, digest) != digest]
    if changed:
        raise InvalidValueError(
            f"The folder {folder.path} holds a run that was made with other files than there are now, by the same "
            f"names: {', '.join(changed)}. Choose another folder (--writer.folder), restore the files, or remove the "
            "folder."
        )
    if now:
        write_atomically(folder.contents, json.dumps(now, indent=1).encode())


def read_contents(folder: Ledger) -> dict[str, str]:
    """What the files held; nothing where that is not known."""
    try:
        known: dict[str, str] = json.loads(folder.contents.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, json.JSONDecodeError):
        return {}
    return known


def _place(value: Any) -> Path | None:
    """The file or folder that a value names, if it does."""
    if not isinstance(value, str) or not value:
        return None
    place = expanded(value)
    return place if os.path.isfile(place) or os.path.isdir(place) else None  # which take any text


def _code(class_path: Any) -> Path | None:
    """The file of a class that comes with no package."""
    name = str(class_path).rpartition(".")[0]
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None or name == "__main__" or name.split(".")[0] == "dis_lightning":
        return None
    return None if "site-packages" in Path(file).parts else Path(file)


def _digest(place: Path) -> str:
    if place.is_dir():
        files = sorted(file for file in place.iterdir() if file.is_file() and not file.name.startswith("."))
        return hashlib.sha256(json.dumps([[file.name, _digest(file)] for file in files]).encode()).hexdigest()
    return file_sha256(place)
