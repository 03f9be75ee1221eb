"""Cards of published files, and the cache of these files.

A card is what is known of a file without having it: where it is, what it is, under which licence, how the network in
it is built and, once recorded, its SHA-256. Files are kept where `torch.hub` keeps them, in
`torch.hub.get_dir()/checkpoints`, which follows `TORCH_HOME`. Each package that reads published files has its cards
beside its code, in `cards.yaml`.
"""

import functools
import json
import shutil
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import torch
import yaml
from filelock import FileLock
from tqdm import tqdm

from dis_lightning.errors import InvalidValueError, UnusablePathError, UserError
from dis_lightning.files import expanded, file_sha256, write_atomically
from dis_lightning.weights.sources import missing, unreachable

__all__ = ["FileCard", "check_source", "fetch", "file_cards", "read_cards"]


@dataclass(frozen=True)
class FileCard:
    """What is known of one published file.

    Attributes:
        name: name of the card, and of the file in the cache.
        url: where the file is.
        sha256: what the file must hash to, where known.
        arguments: how the network in it is built, where it is not always the same.
        kind: what the network in it gives, where it could be one thing or another.
        suffix: how the name of the file ends.
        published_as: other names that the file goes by, without their ending.
        attention_order: how the channels of its attention are ordered, where that is not as here.
        schedule: the schedule of a discrete diffusion that it was trained on.
        prediction: what it predicts there.
        about: what the file holds, and who published it.
        licence: on which terms.
    """

    name: str
    url: str
    sha256: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    kind: str | None = None
    suffix: str = ".pt"
    published_as: tuple[str, ...] = ()
    attention_order: str | None = None
    schedule: str | None = None
    prediction: str | None = None
    about: str = ""
    licence: str = ""

    @property
    def path(self) -> Path:
        """Where the file is kept."""
        return Path(torch.hub.get_dir()) / "checkpoints" / f"{self.name}{self.suffix}"

    def fetch(self) -> Path:
        """Give the file, downloaded if need be, after a check of its SHA-256.

        What the file must hash to is said by the card, or else by the record that is written when the file is first
        seen. Processes that want the same file wait for one of them to download it.

        Raises:
            ConnectionError: if the file cannot be downloaded.
            OSError: if the cache cannot be written.
            ValueError: if the file is not the one that was published, or not the one that was recorded.
        """
        record = Path(f"{self.path}.json")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock"):
                if not self.path.exists():
                    self._download()
                if not record.exists():
                    said = json.dumps({"url": self.url, "sha256": file_sha256(self.path)}, indent=1)
                    write_atomically(record, said.encode())
        except UserError:
            raise
        except OSError as error:
            raise UnusablePathError(
                f"{self.name} is kept at {self.path}, which cannot be written ({error}): set TORCH_HOME to a folder "
                "that can, or give the path of the file in place of the name."
            ) from error
        expected, found = self.sha256 or json.loads(record.read_text())["sha256"], file_sha256(self.path)
        if found != expected:
            raise InvalidValueError(
                f"{self.path} is damaged or is not {self.name}: its SHA-256 is {found}, but {expected} was expected. "
                f"Delete it to download it again; delete {record.name} too if it was replaced on purpose."
            )
        return self.path

    def _download(self) -> None:
        partial = Path(f"{self.path}.partial")
        try:
            with urllib.request.urlopen(self.url) as response, partial.open("wb") as file:
                # Google Drive answers a request that it does not like with a page, and with success.
                if response.headers.get_content_type() == "text/html":
                    raise OSError("the address gave a web page instead of the file")
                size = int(response.headers["Content-Length"] or 0)
                with tqdm.wrapattr(file, "write", total=size or None, desc=self.path.name) as target:
                    shutil.copyfileobj(response, target)
            # A connection that is cut looks like the end of the file.
            if size and partial.stat().st_size != size:
                raise OSError(f"broken off after {partial.stat().st_size} of {size} bytes")
        except OSError as error:
            place = f"put it at {self.path}, or give its path in place of the name"
            raise unreachable(self.name, error, self.url, place) from error
        partial.replace(self.path)


@functools.cache
def read_cards(package: str) -> dict[str, Any]:
    """The `cards.yaml` of a package."""
    text = (resources.files(package) / "cards.yaml").read_text(encoding="utf-8")
    cards: dict[str, Any] = yaml.safe_load(text)
    return cards


def file_cards(package: str) -> dict[str, FileCard]:
    """The cards of files in the `cards.yaml` of a package, by name."""
    return {name: FileCard(name=name, **card) for name, card in read_cards(package)["files"].items()}


def check_source(source: str | Path, cards: Mapping[str, FileCard]) -> None:
    """Check, without reading anything, that `fetch` knows what is meant.

    Raises:
        FileNotFoundError: if the source is neither a file nor the name of a card.
    """
    if str(source) not in cards and not expanded(source).is_file():
        raise missing(source, cards)


def fetch(source: str | Path, cards: Mapping[str, FileCard]) -> Path:
    """Give the file that is meant.

    Args:
        source: a file here (`~` is the home folder), or the name of a card, whose file is downloaded if need be.
        cards: the cards that are known, by name.

    Raises:
        FileNotFoundError: if the source is neither a file nor the name of a card.
        ConnectionError: if the file of a card cannot be downloaded.
        ValueError: if the file of a card is not the one that was published.
    """
    check_source(source, cards)
    path = expanded(source)
    return path if path.is_file() else cards[str(source)].fetch()
