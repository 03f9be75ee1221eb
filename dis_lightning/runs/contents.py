"""What is in the files that a configuration names: one that changes under its name makes other images."""

import ast
import hashlib
import json
import os
import sys
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from dis_lightning.errors import InvalidValueError
from dis_lightning.files import expanded, file_sha256, write_atomically
from dis_lightning.runs.configuration import LINKED, leaves
from dis_lightning.runs.ledger import Ledger

__all__ = ["check_contents", "contents", "read_contents", "require_contents"]

PARTS = ("model", *LINKED)
"""What images depend on beside the data, whose images are compared one by one."""

SITE = {"site-packages", "dist-packages"}
"""Folders of packages that are installed."""


def contents(configuration: dict[str, Any]) -> dict[str, str]:
    """SHA-256 of each file that a part of a run is named by, such as weights, a mask or the code of one's own class.

    Args:
        configuration: nested keys and plain values.

    Returns:
        Digests by dotted key; of a folder, one of all the files in it; of a class, one of its file and of your own
        files that it imports. What ships with a package is told by its version, what a card names by its own digest; a
        script that is run may change, for it says what is run too.
    """
    parts = {key: configuration[key] for key in PARTS if key in configuration}
    named = {key: _code(value) if key.endswith("class_path") else _place(value) for key, value in leaves(parts)}
    return {key: _digest(*places) for key, places in named.items() if places}


def check_contents(folder: Ledger, now: dict[str, str]) -> None:
    """Compare files with what they held when a folder was made, and keep that there; see `require_contents`."""
    require_contents(folder, now)
    if now:
        write_atomically(folder.contents, json.dumps(now, indent=1).encode())


def require_contents(folder: Ledger, now: dict[str, str]) -> None:
    """Compare files with what they held when a folder was made.

    Args:
        folder: the run folder.
        now: what `contents` gives, for all parts of the run or some.

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


def read_contents(folder: Ledger) -> dict[str, str]:
    """What the files held; nothing where that is not known.

    Raises:
        ValueError: if the file that says so is damaged.
    """
    try:
        known = json.loads(folder.contents.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (UnicodeDecodeError, json.JSONDecodeError):
        known = None
    if not isinstance(known, dict):
        raise InvalidValueError(
            f"{folder.contents} is damaged, which says what the files held that the images were made with. If they "
            "have not changed since, remove it and give the run's command again; else choose another folder "
            "(--writer.folder)."
        )
    return known


def _place(value: Any) -> list[Path]:
    """The file or folder that a value names, if it does."""
    if not isinstance(value, str) or not value:
        return []
    place = expanded(value)
    return [place] if os.path.isfile(place) or os.path.isdir(place) else []  # which take any text


def _code(class_path: Any) -> list[Path]:
    """The files of a class that comes with no package: its own first, then what that imports, directly or not."""
    found: dict[str, Path] = {}
    waiting = [str(class_path).rpartition(".")[0]]
    for name in waiting:
        file = getattr(sys.modules.get(name), "__file__", None)
        if name in found or file is None or not _own(name, Path(file)):
            continue
        found[name] = Path(file)
        waiting += sorted(_imported(name, Path(file)))
    return list(found.values())


def _own(name: str, file: Path) -> bool:
    packaged = {"__main__", "dis_lightning", *sys.stdlib_module_names}
    return file.suffix == ".py" and name.split(".")[0] not in packaged and not SITE.intersection(file.parts)


def _imported(name: str, file: Path) -> set[str]:
    """The names of all modules that a file of code may import: what it takes from one may be one too."""
    package = getattr(sys.modules[name], "__package__", None) or ""
    names = set[str]()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            whole = resolve_name("." * node.level + (node.module or ""), package)
            names.update({whole, *(f"{whole}.{alias.name}" for alias in node.names)})
    return names


def _digest(place: Path, *more: Path) -> str:
    if more:
        return hashlib.sha256(json.dumps([_digest(place), *sorted(map(_digest, more))]).encode()).hexdigest()
    if place.is_dir():
        files = sorted(file for file in place.iterdir() if file.is_file() and not file.name.startswith("."))
        return hashlib.sha256(json.dumps([[file.name, _digest(file)] for file in files]).encode()).hexdigest()
    return file_sha256(place)
