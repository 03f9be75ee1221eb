"""Cards of the published networks, and the cache of their files.

A card is what is known of a network without having it: where it is, how it is built and, once recorded, the SHA-256 of
its file. Files are kept where `torch.hub` keeps them, `torch.hub.get_dir()/checkpoints`, which follows `TORCH_HOME`.
"""

import functools
import hashlib
import json
import shutil
import urllib.request
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
import yaml
from filelock import FileLock
from tqdm import tqdm

__all__ = ["FileCard", "fetch_from_hub", "file_cards", "repository_cards"]


@dataclass(frozen=True)
class FileCard:
    """What is known of one published file.

    Attributes:
        name: name of the card.
        url: where the file is.
        sha256: what the file must hash to, where known.
        arguments: arguments of `UNet`.
    """

    name: str
    url: str
    sha256: str | None
    arguments: dict[str, Any]

    @property
    def path(self) -> Path:
        """Where the file is kept."""
        return Path(torch.hub.get_dir()) / "checkpoints" / f"{self.name}.pt"

    def fetch(self) -> Path:
        """Give the file, downloaded if need be, after a check of its SHA-256.

        What the file must hash to is said by the card, or else by the record that is written when the file is first
        seen. Processes that want the same file wait for one of them to download it.

        Raises:
            ConnectionError: if the file cannot be downloaded.
            ValueError: if the file is not the one that was published, or not the one that was recorded.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        record = Path(f"{self.path}.json")
        with FileLock(f"{self.path}.lock"):
            if not self.path.exists():
                self._download()
            if not record.exists():
                record.write_text(json.dumps({"url": self.url, "sha256": _sha256(self.path)}, indent=1))
        expected, found = self.sha256 or json.loads(record.read_text())["sha256"], _sha256(self.path)
        if found != expected:
            raise ValueError(
                f"{self.path} is damaged or is not {self.name}: its SHA-256 is {found}, but {expected} was expected. "
                f"Delete it to download it again; delete {record.name} too if it was replaced on purpose."
            )
        return self.path

    def _download(self) -> None:
        partial = Path(f"{self.path}.partial")
        try:
            with urllib.request.urlopen(self.url) as response, partial.open("wb") as file:
                size = int(response.headers["Content-Length"] or 0)
                with tqdm.wrapattr(file, "write", total=size or None, desc=self.path.name) as target:
                    shutil.copyfileobj(response, target)
            # A connection that is cut looks like the end of the file.
            if size and partial.stat().st_size != size:
                raise ConnectionError(f"broken off after {partial.stat().st_size} of {size} bytes")
        except OSError as error:
            raise ConnectionError(
                f"{self.name} could not be downloaded ({error}). Without a network, get {self.url} elsewhere "
                f"and put it at {self.path}."
            ) from error
        partial.replace(self.path)


def file_cards() -> dict[str, FileCard]:
    """The cards of files, by name."""
    return {name: FileCard(name=name, **card) for name, card in _cards()["files"].items()}


def repository_cards() -> dict[str, dict[str, Any]]:
    """The arguments of `UNet` for repositories of the hub, by hub id."""
    cards: dict[str, dict[str, Any]] = _cards()["repositories"]
    return cards


def fetch_from_hub(repository: str, *names: str) -> Path:
    """Give the first file of those named that a repository of the hub has, downloaded if need be.

    Raises:
        ModuleNotFoundError: if `huggingface_hub` is not installed.
        ConnectionError: if there is no such file, or it cannot be downloaded.
    """
    try:
        import huggingface_hub  # Only for those who ask for a hub id.
        from huggingface_hub.errors import EntryNotFoundError
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"Networks of the hub need another package: pip install huggingface_hub, or download {repository} "
            "yourself and give its folder."
        ) from error
    for name in names:
        try:
            return Path(huggingface_hub.hf_hub_download(repository, name))
        except EntryNotFoundError as error:
            reason: Exception = error
        except (OSError, ValueError) as error:
            reason = error
            break
    raise ConnectionError(
        f"{' or '.join(names)} of {repository} could not be had from the hub ({type(reason).__name__}). Check the id; "
        f"without a network, download the repository elsewhere and give its folder."
    ) from reason


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.cache
def _cards() -> dict[str, Any]:
    text = (resources.files(__package__) / "cards.yaml").read_text(encoding="utf-8")
    cards: dict[str, Any] = yaml.safe_load(text)
    return cards
