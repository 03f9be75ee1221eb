"""What is in the files that a configuration names: one that changes under its name makes other images."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from dis_lightning.errors import InvalidValueError
from dis_lightning.files import expanded, write_atomically
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
        Digests by dotted key. What ships with a package is told by its version, what a card names by its own digest.
    """
    parts = {key: configuration[key] for key in PARTS if key in configuration}
    files = {key: file for key, value in leaves(parts) if (file := _file(key, value)) is not None}
    return {key: _digest(file) for key, file in files.items()}


def check_contents(folder: Ledger, now: dict[str, str], *, write: bool) -> None:
    """Compare files with what they held when a folder was made, and keep that there.

    Args:
        folder: the run folder.
        now: what `contents` gives.
        write: whether this process is the one that writes.

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
    if write and now:
        write_atomically(folder.contents, json.dumps(now, indent=1).encode())


def read_contents(folder: Ledger) -> dict[str, str]:
    """What the files held; nothing where that is not known."""
    try:
        known: dict[str, str] = json.loads(folder.contents.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, json.JSONDecodeError):
        return {}
    return known


def _file(key: str, value: Any) -> Path | None:
    """The file that a value names, if it does."""
    if not isinstance(value, str) or not value:
        return None
    if not key.endswith("class_path"):
        file = expanded(value)
        return file if _is_file(file) else None
    module = sys.modules.get(value.rpartition(".")[0])
    code = getattr(module, "__file__", None)
    own = code is not None and not value.startswith("dis_lightning.") and "site-packages" not in Path(code).parts
    return Path(code) if own and code else None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a text that is no name of a file
        return False


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
