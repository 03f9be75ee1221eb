"""Files of the hub: from its cache, or downloaded if it can be reached.

The libraries that read from the hub try again for half a minute where there is no network. So whether it can be reached
is asked once, before they do.
"""

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dis_lightning.errors import MissingPackageError
from dis_lightning.weights.sources import unreachable

__all__ = ["fetch_from_hub", "reached_hub"]

PATIENCE = 5.0
"""Seconds to wait for an answer of the hub."""


@contextmanager
def reached_hub() -> Iterator[None]:
    """Let the libraries of the hub look in its cache alone, for as long as this lasts, if it cannot be reached."""
    constants = _library().constants
    before = constants.HF_HUB_OFFLINE  # the library's own switch, which it else reads once, from the environment
    constants.HF_HUB_OFFLINE = before or not _answers(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def fetch_from_hub(repository: str, *names: str) -> Path:
    """Give the first file of those named that a repository of the hub has, downloaded if need be.

    Raises:
        ModuleNotFoundError: if `huggingface_hub` is not installed.
        ConnectionError: if there is no such file, or it cannot be downloaded.
    """
    library = _library()
    with reached_hub():
        for name in names:
            try:
                return Path(library.hf_hub_download(repository, name))
            except library.errors.EntryNotFoundError as error:
                reason: Exception = error
            except (OSError, ValueError) as error:
                reason = error
                break
    raise unreachable(
        f"{' or '.join(names)} of {repository}",
        type(reason).__name__,
        f"the repository https://huggingface.co/{repository} (check the id)",
        "give its folder",
    ) from reason


def _library() -> Any:
    try:
        import huggingface_hub  # only for those who ask for a hub id
        import huggingface_hub.constants
        import huggingface_hub.errors
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            "Networks of the hub need another package: pip install huggingface_hub; or download the repository "
            "yourself and give its folder."
        ) from error
    return huggingface_hub


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=PATIENCE).close()
    except urllib.error.HTTPError:
        return True  # an answer, if not a kind one
    except OSError:
        return False
    return True
