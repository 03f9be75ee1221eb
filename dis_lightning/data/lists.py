"""Lists of images: text files that name what a table was made on.

    # a comment
    00000/00000.png
    00000/00007.png   3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8553

A line is an image: its path relative to the root with `/` between folders (of a database its key), and its SHA-256,
where it is known. Empty lines and lines that begin with `#` are passed over. Lists that papers share ship with the
package, in `known/`, and are called by their names.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol, Self, TypeVar

from dis_lightning.errors import InvalidValueError, MissingFileError
from dis_lightning.files import expanded

__all__ = ["ImageList"]

Found = TypeVar("Found")

NAMED = 3
"""How many images a message names."""
KNOWN = Path(__file__).parent / "known"
"""Lists that the field compares on, each with its source."""
DIGEST = re.compile(r"[0-9a-fA-F]{64}")


class Readable(Protocol):
    """An image whose bytes can be read."""

    name: str

    def open(self) -> BinaryIO:
        """Open the encoded bytes for reading."""


@dataclass(frozen=True)
class ImageList:
    """The content of a list.

    Attributes:
        file: where it is.
        digests: the names in their order, each with its SHA-256 or None.
    """

    file: Path
    digests: dict[str, str | None]

    @classmethod
    def read(cls, file: str | Path) -> Self:
        """Read a list.

        Args:
            file: where it is; or the name of one that ships with the package, such as "imagenet_1k_dgp".

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is no text, names nothing, or names an image twice.
        """
        path, shipped = expanded(file), KNOWN / f"{file}.txt"
        if not path.exists() and shipped.is_file():
            path = shipped
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except FileNotFoundError:
            ours = ", ".join(sorted(list_.stem for list_ in KNOWN.glob("*.txt")))
            raise MissingFileError(
                f"There is no list of images {path}; set --data.names to a text file, or to one of {ours}."
            ) from None
        except (OSError, ValueError) as error:
            raise InvalidValueError(f"The list of images {path} cannot be read: {error}.") from error
        digests: dict[str, str | None] = {}
        for number, line in enumerate(lines, start=1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            name, _, last = text.rpartition(" ")
            known = bool(name) and DIGEST.fullmatch(last) is not None
            name = PurePosixPath(name.strip() if known else text).as_posix()  # without `./`, as `find` writes it
            if name in digests:
                raise InvalidValueError(f"{path}, line {number}: {name} is named twice; take one of them out.")
            digests[name] = last.lower() if known else None
        if not digests:
            raise InvalidValueError(f"The list of images {path} names none: write a path in each line.")
        return cls(path, digests)

    def choose(self, found: Mapping[str, Found], root: Path) -> list[Found]:
        """The images of the list.

        Args:
            found: all that there are, by name.
            root: where they lie, for the error.

        Raises:
            FileNotFoundError: if one is not among them.
        """
        if missing := [name for name in self.digests if name not in found]:
            raise MissingFileError(
                f"{len(missing)} of the {len(self.digests)} images of {self.file} are not below {root}: "
                f"{_some(missing)}. Names are relative to --data.root."
            )
        return [found[name] for name in self.digests]

    def check(self, images: Iterable[Readable]) -> None:
        """Compare images with their SHA-256, where it is known.

        Raises:
            ValueError: if one is another.
        """
        wrong = []
        for image in images:
            if expected := self.digests.get(image.name):
                with image.open() as stream:
                    if hashlib.sha256(stream.read()).hexdigest() != expected:
                        wrong.append(image.name)
        if wrong:
            raise InvalidValueError(
                f"{len(wrong)} images are not those of {self.file}, by their SHA-256: {_some(wrong)}. Get them again, "
                "or take the digests out of the list."
            )


def _some(names: list[str]) -> str:
    return ", ".join(islice(names, NAMED)) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
