"""The run folder: a ledger with one record per finished image.

    samples/00017_00.png      posterior sample 0 of image 17, 8 bit; none for a sample that diverged
    sources/00017.png         the clean image
    measurements/00017.png    the measurement, as a picture
    records/00017.json        written last: its presence means that image 17 is done

Every file is written beside its place and then moved there, so that none is ever half written.
"""

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
        write_png(self.path / "sources" / f"{index:05d}.png", source)
        write_png(self.path / "measurements" / f"{index:05d}.png", measurement)
        for sample, image in enumerate(draws.samples[row]):
            if not diverged[sample]:
                write_png(self.sample(index, sample), image)
        record = {"index": index, "name": name, "diverged": diverged, "cost": draws.costs[row]._asdict()}
        write_atomically(self._record(index), json.dumps(record, indent=1).encode())

    def read(self, index: int) -> Draws | None:
        """The draws of one image, `B = 1`, or None while it is not finished or if a file of it is gone or damaged."""
        if not self.finished(index):
            return None
        record = self.record(index)
        try:
            images = [
                None if diverged else read_png(self.sample(index, sample))
                for sample, diverged in enumerate(record["diverged"])
            ]
            source = read_png(self.path / "sources" / f"{index:05d}.png")
        except OSError:
            return None
        # A sample that diverged has no file; mid-grey stands for it, as it did when it was drawn.
        grey = torch.full_like(source, 128)
        samples = torch.stack([grey if image is None else image for image in images])
        return Draws(samples[None], torch.tensor([record["diverged"]]), [Cost(**record["cost"])])

    def sample(self, index: int, sample: int) -> Path:
        """Where a posterior sample is kept."""
        return self.path / "samples" / f"{index:05d}_{sample:02d}.png"

    def _record(self, index: int) -> Path:
        return self.path / "records" / f"{index:05d}.json"


def read_png(file: Path) -> Tensor:
    """Read an image as 8 bit, `(3, H, W)`.

    Raises:
        OSError: if there is none or it is damaged.
    """
    try:
        with Image.open(file) as image:
            return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
    except SyntaxError as error:  # Pillow's word for some damaged PNG files
        raise OSError(f"{file} is damaged: {error}") from error


def write_png(file: Path, image: Tensor) -> None:
    """Write an 8-bit image, `(3, H, W)`."""
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).cpu().numpy()).save(buffer, format="PNG")
    write_atomically(file, buffer.getvalue())


def write_atomically(file: Path, content: bytes) -> None:
    """Write a file that is, at any moment, either as it was before or complete, also after a power failure."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(file)
