"""What a part of a run is read from, as people write it: a file, a folder or a name; and what is said if it is missing.

What looks like a path is one. If nothing is there it is a missing file, and is never looked up as a name.
"""

from collections.abc import Collection
from pathlib import Path

from dis_lightning.errors import MissingFileError, UnreachableError
from dis_lightning.files import expanded
from dis_lightning.spelling import nearest

__all__ = ["did_you_mean", "existing_file", "is_hub_id", "is_path", "missing", "unreachable"]

SUFFIXES = (".bin", ".ckpt", ".h5", ".npy", ".npz", ".onnx", ".pickle", ".pkl", ".pt", ".pth", ".safetensors", ".zip")
"""How the names of files of numbers end."""


def existing_file(path: str | Path, content: str) -> Path:
    """A file that has to be there.

    Args:
        path: where it is; `~` is the home folder.
        content: what it holds, for people.

    Raises:
        FileNotFoundError: if it is not there.
    """
    found = expanded(path)
    if not found.is_file():
        raise MissingFileError(f"{found} is no file: put {content} there, or give its path.")
    return found


def is_path(source: str | Path) -> bool:
    """Whether a path is meant by something that is not here, and no name: it has a separator or ends as files do."""
    text = str(source)
    return "/" in text or "\\" in text or text.lower().endswith(SUFFIXES)


def is_hub_id(source: str | Path) -> bool:
    """Whether something that is not here has the form of a hub id, `owner/name`, and is no path.

    A path begins with `/`, `~` or a dot, has more separators, ends as files do, or is in a folder that is here.
    """
    text = str(source)
    return text.count("/") == 1 and not (
        text.startswith(("/", "~", ".")) or text.lower().endswith(SUFFIXES) or Path(text).parent.is_dir()
    )


def missing(source: str | Path, names: Collection[str], kind: str = "card") -> MissingFileError:
    """The error for a source that is neither here nor known by name.

    Args:
        source: what was given.
        names: what would have been known by name.
        kind: what these are.
    """
    if is_path(source):
        known = f"; the {kind}s are {', '.join(names)}" if names else ""
        return MissingFileError(f"{expanded(source)} is no file and no folder: put it there, or give its path{known}.")
    return MissingFileError(f"{str(source)!r} is no file and no {kind}. {did_you_mean(str(source), names, kind)}")


def unreachable(content: str, reason: object, get: str, then: str) -> UnreachableError:
    """The error for what is published, but neither here nor to be downloaded.

    Args:
        content: what it is, for people.
        reason: what went wrong.
        get: which file to get, and where it is.
        then: what to do with it.
    """
    return UnreachableError(
        f"{content} could not be downloaded ({reason}). Without a network, get {get} elsewhere and {then}."
    )


def did_you_mean(name: str, names: Collection[str], kind: str) -> str:
    """The names that are closest to one that is not known, as a question; or all of them.

    Args:
        name: what was given.
        names: what would have been known.
        kind: what these are.
    """
    return nearest(name, names, at_most=3).strip() or f"The {kind}s are {', '.join(names)}."
