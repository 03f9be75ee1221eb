"""The run folder: a ledger with one record per finished image.

    samples/00017_00.png      posterior sample 0 of image 17, 8 bit; none for a sample that diverged
    sources/00017.png         the clean image
    measurements/00017.png    the measurement, as a picture; a map of classes is an indexed one, in the classes' colours
    measurements/00017.npy    the measurement itself; a caption is 00017.txt
    records/00017.json        written last: its presence means that image 17 is done; holds the others' SHA-256

Every file is written beside its place and then moved there, so that none is ever half written.
"""

import hashlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dis_lightning.errors import InvalidValueError, MissingFileError
from dis_lightning.images import dequantise
from dis_lightning.types import Cost, Draws, Measurement, Reconstruction

__all__ = ["Kept", "RunFolder", "read_png", "write_atomically"]


class Kept(NamedTuple):
    """What is kept of the image of a batch beside its samples."""

    name: str
    """Where the image came from."""
    source: Tensor
    """The clean image, 8 bit, `(3, H, W)`."""
    measurement: Tensor | str
    """The measurement itself."""
    picture: Tensor
    """The measurement as a picture, 8 bit: `(3, h, w)`, or classes `(h, w)` where there is a palette."""
    palette: Tensor | None = None
    """Colours of the classes, 8 bit, `(K, 3)`."""


@dataclass(frozen=True)
class RunFolder:
    """Files of one run.

    Args:
        path: the folder; made on the first write.
    """

    path: Path

    def finished(self, index: int) -> bool:
        """Whether an image has its record."""
        return self._record(index).exists()

    def record(self, index: int) -> dict[str, Any]:
        """The record of a finished image."""
        record: dict[str, Any] = json.loads(self._record(index).read_text())
        return record

    def forget(self, index: int) -> None:
        """Take away the record of an image, so that it counts as not finished."""
        self._record(index).unlink(missing_ok=True)

    def write(self, batch: list[int], kept: list[Kept], draws: Draws) -> None:
        """Write all files of the images of a batch that have no record yet, each record last.

        Args:
            batch: positions of the images in the data set.
            kept: what is kept of each of them.
            draws: their posterior samples.
        """
        for row, index in enumerate(batch):
            if not self.finished(index):
                files = self._files(index, kept[row], draws, row)
                record = {
                    "index": index,
                    "name": kept[row].name,
                    "batch": batch,
                    "diverged": draws.diverged[row].tolist(),
                    "cost": draws.costs[row]._asdict(),
                    "acceptance": None if draws.acceptance is None else float(draws.acceptance[row]),
                    "sha256": {file.relative_to(self.path).as_posix(): _write(file, c) for file, c in files.items()},
                }
                write_atomically(self._record(index), json.dumps(record, indent=1).encode())

    def read(self, index: int) -> Draws | None:
        """The draws of one image, `B = 1`, or None while it is not finished or if a file of it is gone or damaged."""
        if not self.finished(index):
            return None
        try:
            record = self.record(index)
        except json.JSONDecodeError:
            return None
        # Folders of before 0.2 hold no raw measurements and are not complete.
        if "batch" not in record or any(_sha256(self.path / f) != digest for f, digest in record["sha256"].items()):
            return None
        # A sample that diverged has no file; mid-grey stands for it.
        grey = torch.full_like(read_png(self.source(index)), 128)
        samples = [
            grey if diverged else read_png(self.sample(index, sample))
            for sample, diverged in enumerate(record["diverged"])
        ]
        rate = record.get("acceptance")
        return Draws(
            torch.stack(samples)[None],
            torch.tensor([record["diverged"]]),
            [Cost(**record["cost"])],
            None if rate is None else torch.tensor([rate], dtype=torch.float64),
        )

    def reconstruction(self, indices: list[int]) -> Reconstruction:
        """Everything that was known about finished images when they were sampled.

        Args:
            indices: their positions in the data set, one at least.

        Raises:
            ValueError: if a file of them is gone or damaged.
        """
        draws = self.recall(indices)
        values = [] if draws is None else [self._value(index) for index in indices]
        if draws is None or any(value is None for value in values):
            raise InvalidValueError(
                f"{self.path} lacks files of the images {', '.join(map(str, indices))}, or they are damaged; run the "
                "command that made the folder again, which mends it."
            )
        names = [self.record(index)["name"] for index in indices]
        sources = dequantise(torch.stack([read_png(self.source(index)) for index in indices]))
        return Reconstruction(torch.tensor(indices), names, sources, _together(values), draws)

    def recall(self, indices: list[int]) -> Draws | None:
        """The draws of several images, or None if one of them is not finished, or a file of it is gone or damaged."""
        parts = [part for part in map(self.read, indices) if part is not None]
        if len(parts) < len(indices):
            return None
        rates = [part.acceptance for part in parts if part.acceptance is not None]
        return Draws(
            torch.cat([part.samples for part in parts]),
            torch.cat([part.diverged for part in parts]),
            [cost for part in parts for cost in part.costs],
            torch.cat(rates) if rates else None,
        )

    def source(self, index: int) -> Path:
        """Where a clean image is kept."""
        return self.path / "sources" / f"{index:05d}.png"

    def measurement(self, index: int) -> Path:
        """Where the picture of a measurement is kept."""
        return self.path / "measurements" / f"{index:05d}.png"

    def shape(self) -> tuple[int, ...]:
        """Shape of the images, `(3, H, W)`.

        Raises:
            FileNotFoundError: if there is none yet.
        """
        for file in sorted((self.path / "sources").glob("*.png")):
            return tuple(read_png(file).shape)
        raise MissingFileError(f"{self.path} holds no images; give the folder of a run (--writer.folder).")

    def sweep(self) -> None:
        """Remove what a killed process left half written."""
        for partial in self.path.rglob(".*.partial"):
            partial.unlink(missing_ok=True)

    def sample(self, index: int, sample: int) -> Path:
        """Where a posterior sample is kept."""
        return self.path / "samples" / f"{index:05d}_{sample:02d}.png"

    def _record(self, index: int) -> Path:
        return self.path / "records" / f"{index:05d}.json"

    def _files(self, index: int, kept: Kept, draws: Draws, row: int) -> dict[Path, bytes]:
        picture = self.measurement(index)
        words = isinstance(kept.measurement, str)
        files = {
            self.source(index): _png(kept.source),
            picture: _png(kept.picture, kept.palette),
            picture.with_suffix(".txt" if words else ".npy"): _bytes(kept.measurement),
        }
        for sample, (image, diverged) in enumerate(zip(draws.samples[row], draws.diverged[row], strict=True)):
            if not diverged:
                files[self.sample(index, sample)] = _png(image)
        return files

    def _value(self, index: int) -> Tensor | str | None:
        words, numbers = (self.measurement(index).with_suffix(suffix) for suffix in (".txt", ".npy"))
        if words.exists():
            return words.read_text(encoding="utf-8")
        return torch.from_numpy(np.load(numbers, allow_pickle=False)) if numbers.exists() else None


def read_png(file: Path) -> Tensor:
    """Read an image as 8 bit, `(3, H, W)`."""
    with Image.open(file) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def _png(image: Tensor, palette: Tensor | None = None) -> bytes:
    """An 8-bit image, `(3, H, W)`, or with a palette classes, `(H, W)`, as a PNG."""
    if palette is None:
        picture = Image.fromarray(image.permute(1, 2, 0).cpu().numpy())
    else:
        picture = Image.fromarray(image.to(torch.uint8).cpu().numpy(), mode="P")
        picture.putpalette(palette.flatten().tolist())
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def _bytes(measurement: Tensor | str) -> bytes:
    if isinstance(measurement, str):
        return measurement.encode()
    buffer = io.BytesIO()
    np.save(buffer, measurement.cpu().numpy(), allow_pickle=False)
    return buffer.getvalue()


def _together(values: list[Tensor | str | None]) -> Measurement:
    tensors = [value for value in values if isinstance(value, Tensor)]
    return torch.stack(tensors) if tensors else [value for value in values if isinstance(value, str)]


def _write(file: Path, content: bytes) -> str:
    """Write a file; give its SHA-256."""
    write_atomically(file, content)
    return hashlib.sha256(content).hexdigest()


def _sha256(file: Path) -> str | None:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else None


def write_atomically(file: Path, content: bytes) -> None:
    """Write a file that is, at any moment, either as it was before or complete, also after a power failure."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(file)
