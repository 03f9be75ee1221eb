"""The run folder: a ledger with one record per finished image. Every file of it is named here.

    config.yaml               the whole configuration
    contents.json             SHA-256 of the files that it names: weights, masks, one's own code
    samples/00017_00.png      posterior sample 0 of image 17, 8 bit; none for a sample that diverged
    sources/00017.png         the clean image
    measurements/00017.png    the measurement, as a picture; a map of classes is an indexed one, in the classes' colours
                              and with their names as text
    measurements/00017.npy    the measurement itself; a caption is 00017.txt
    records/00017.json        written last: its presence means that image 17 is done; holds the others' SHA-256
    trajectories/00017.gif    how it came to be, where somebody asked for that
    results.csv, metrics.json a row per image; means and their definitions
    grid.png, report.html     to look at

Every file is written beside its place and then moved there, so that none is ever half written. The files of a batch are
flushed to the disk together, before their records are written: a record means "done" after a power failure too.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dis_lightning.errors import InvalidValueError, MissingFileError, UnusablePathError
from dis_lightning.files import file_sha256

__all__ = ["MARK", "Ledger", "read_whole", "require_page", "sealed", "tables_beside"]

MARK = "Made by dis_lightning"
"""What every page says of itself, so that another's is not taken for one."""


@dataclass(frozen=True)
class Ledger:
    """The names of the files of one run, and the records of its images; no picture is decoded here.

    Args:
        path: the folder; made on the first write.
    """

    path: Path

    @property
    def configuration(self) -> Path:
        """What the run is made of."""
        return self.path / "config.yaml"

    @property
    def contents(self) -> Path:
        """What is in the files that the configuration names."""
        return self.path / "contents.json"

    @property
    def metrics(self) -> Path:
        """Means and their definitions."""
        return self.path / "metrics.json"

    @property
    def results(self) -> Path:
        """The values of every image."""
        return self.path / "results.csv"

    @property
    def grid(self) -> Path:
        """The first images at a glance."""
        return self.path / "grid.png"

    @property
    def page(self) -> Path:
        """All of it on one page."""
        return self.path / "report.html"

    @property
    def samples(self) -> Path:
        """The folder of the posterior samples."""
        return self.path / "samples"

    @property
    def records(self) -> Path:
        """The folder of the records of finished images."""
        return self.path / "records"

    @property
    def begun(self) -> bool:
        """Whether files of an image, or parts of one, may be there."""
        return any(place.exists() for place in self._folders)

    def sample(self, index: int, sample: int) -> Path:
        """Where a posterior sample is kept."""
        return self.samples / f"{index:05d}_{sample:02d}.png"

    def source(self, index: int) -> Path:
        """Where a clean image is kept."""
        return self.path / "sources" / f"{index:05d}.png"

    def measurement(self, index: int) -> Path:
        """Where the picture of a measurement is kept."""
        return self.path / "measurements" / f"{index:05d}.png"

    def trajectory(self, index: int, kind: str) -> Path:
        """Where a film is kept, a file of some kind."""
        return self.path / "trajectories" / f"{index:05d}.{kind}"

    def name(self, file: Path) -> str:
        """What a file of the run is called in its records."""
        return file.relative_to(self.path).as_posix()

    def indices(self) -> list[int]:
        """The images that have a record, in order."""
        return sorted(int(file.stem) for file in self.records.glob("*.json") if file.stem.isdecimal())

    def require_own(self) -> None:
        """Refuse a folder that is of no run, but holds files that a run would write over; or a page that is of none.

        Raises:
            UnusablePathError: if there are such files.
        """
        if self.configuration.exists() or any(self.record(index) for index in self.indices()):
            require_page(self.page)
            return
        files = self.contents, self.metrics, self.results, self.grid, self.page, *tables_beside(self.page)
        for place in (*files, *self._folders):
            if place.exists():
                raise UnusablePathError(
                    f"{self.path} is no run folder, and its {place.name} would be written over; choose a new folder "
                    "(--writer.folder), or remove what is not needed there."
                )

    def finished(self, index: int) -> bool:
        """Whether an image has a record that is whole."""
        return self.record(index) is not None

    def record(self, index: int) -> dict[str, Any] | None:
        """The record of a finished image; None where there is none, or it is damaged."""
        content = read_whole(self._record(index))
        return content if content is not None and content.get("index") == index else None

    def whole(self, index: int) -> bool:
        """Whether an image has a record, and all its files are as they were written."""
        record = self.record(index)
        return record is not None and not self._wrong(record)

    def require(self, index: int) -> dict[str, Any]:
        """The record of an image that must be there, with all its files as they were written.

        Raises:
            ValueError: if it or one of its files is gone or damaged; the message says which, and what mends it.
        """
        record = self.record(index)
        wrong = [self._record(index)] if record is None else self._wrong(record)
        if record is None or wrong:
            raise InvalidValueError(
                f"{wrong[0]} is gone or damaged; give the command that made {self.path} again, which mends it."
            )
        return record

    def forget(self, index: int) -> None:
        """Take away the record of an image, so that it counts as not finished."""
        self._record(index).unlink(missing_ok=True)

    def shape(self) -> tuple[int, ...]:
        """Shape of the images, `(C, H, W)`.

        Raises:
            FileNotFoundError: if there is none yet.
        """
        for record in filter(None, map(self.record, self.indices())):
            return tuple(record["shape"])
        raise MissingFileError(f"{self.path} holds no images; give the folder of a run (--writer.folder).")

    def sweep(self) -> None:
        """Remove what a killed process left half written."""
        for partial in self.path.rglob(".*.partial"):
            partial.unlink(missing_ok=True)

    @property
    def _folders(self) -> tuple[Path, ...]:
        return self.samples, self.records, self.path / "sources", self.path / "measurements"

    def _record(self, index: int) -> Path:
        return self.records / f"{index:05d}.json"

    def _wrong(self, record: dict[str, Any]) -> list[Path]:
        """The files of an image that are not as they were written."""
        files = {self.path / name: digest for name, digest in record["sha256"].items()}
        return [file for file, digest in files.items() if _sha256(file) != digest]


def tables_beside(page: Path) -> tuple[Path, Path]:
    """Where the tables of a page are kept: as Markdown and as LaTeX."""
    return page.with_suffix(".md"), page.with_suffix(".tex")


def require_page(page: Path) -> None:
    """Refuse a place for a page where it, or its tables, would be written over files that are of none.

    Raises:
        UnusablePathError: if there are such files.
    """
    if page.exists():
        foreign = None if page.is_file() and MARK.encode() in page.read_bytes() else page
    elif Ledger(page.parent).configuration.exists():
        foreign = None  # in a run folder the tables are the run's
    else:
        foreign = next((table for table in tables_beside(page) if table.exists()), None)
    if foreign:
        raise UnusablePathError(
            f"{foreign} is there already and of no report, and would be written over; choose another place for the "
            "page (--output), or move the file."
        )


def _sha256(file: Path) -> str | None:
    return file_sha256(file) if file.is_file() else None


def sealed(content: dict[str, Any]) -> bytes:
    """A file of nested keys and plain values, with a digest by which damage shows; see `read_whole`."""
    plain = json.loads(json.dumps(content))  # with keys as they come back
    return json.dumps({**plain, "digest": _digest(plain)}, indent=1).encode()


def read_whole(file: Path) -> dict[str, Any] | None:
    """What `sealed` has written to a file; None where there is none, or it is damaged."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        whole = isinstance(content, dict) and content.pop("digest", None) == _digest(content)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError, RecursionError):
        return None  # what is no text, no JSON, or nested or long as no file of a run is
    return content if whole else None


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
