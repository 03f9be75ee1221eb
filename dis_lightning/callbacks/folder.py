"""The run folder: a ledger with one record per finished image.

    samples/00017_00.png      posterior sample 0 of image 17, 8 bit; none for a sample that diverged
    sources/00017.png         the clean image
    measurements/00017.png    the measurement, as a picture
    records/00017.json        written last: its presence means that image 17 is done; holds the others' SHA-256

Every file is written beside its place and then moved there, so that none is ever half written.
"""

import hashlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dis_lightning.types import Cost, Draws

__all__ = ["RunFolder", "read_png", "write_atomically"]


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

    def write(self, index: int, name: str, source: Tensor, measurement: Tensor, draws: Draws, row: int) -> None:
        """Write all files of an image, its record last.

        Args:
            index: position of the image in the data set.
            name: where the image came from.
            source: the clean image, 8 bit, `(3, H, W)`.
            measurement: the measurement as a picture, 8 bit, `(3, h, w)`.
            draws: the posterior samples of the image's batch.
            row: the image's place in `draws`.
        """
        diverged = draws.diverged[row].tolist()
        images = {self.source(index): source, self.measurement(index): measurement}
        images |= {self.sample(index, s): image for s, image in enumerate(draws.samples[row]) if not diverged[s]}
        record = {
            "index": index,
            "name": name,
            "diverged": diverged,
            "cost": draws.costs[row]._asdict(),
            "sha256": {file.relative_to(self.path).as_posix(): write_png(file, im) for file, im in images.items()},
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
        if any(_sha256(self.path / file) != digest for file, digest in record["sha256"].items()):
            return None
        # A sample that diverged has no file; mid-grey stands for it.
        grey = torch.full_like(read_png(self.source(index)), 128)
        samples = [
            grey if diverged else read_png(self.sample(index, sample))
            for sample, diverged in enumerate(record["diverged"])
        ]
        return Draws(torch.stack(samples)[None], torch.tensor([record["diverged"]]), [Cost(**record["cost"])])

    def source(self, index: int) -> Path:
        """Where a clean image is kept."""
        return self.path / "sources" / f"{index:05d}.png"

    def measurement(self, index: int) -> Path:
        """Where the picture of a measurement is kept."""
        return self.path / "measurements" / f"{index:05d}.png"

    def sweep(self) -> None:
        """Remove what a killed process left half written."""
        for partial in self.path.rglob(".*.partial"):
            partial.unlink(missing_ok=True)

    def sample(self, index: int, sample: int) -> Path:
        """Where a posterior sample is kept."""
        return self.path / "samples" / f"{index:05d}_{sample:02d}.png"

    def _record(self, index: int) -> Path:
        return self.path / "records" / f"{index:05d}.json"


def read_png(file: Path) -> Tensor:
    """Read an image as 8 bit, `(3, H, W)`."""
    with Image.open(file) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def write_png(file: Path, image: Tensor) -> str:
    """Write an 8-bit image, `(3, H, W)`; give the SHA-256 of the file."""
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).cpu().numpy()).save(buffer, format="PNG")
    write_atomically(file, buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


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
