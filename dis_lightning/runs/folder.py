"""The run folder as a run needs it: what is in the files of its ledger, written together and read back."""

import hashlib
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from dis_lightning.files import flush, write_atomically
from dis_lightning.runs.kept import Kept
from dis_lightning.runs.ledger import Ledger, sealed
from dis_lightning.runs.pictures import CLASSES, read_pixels
from dis_lightning.types import Cost, Draws, Measurement, Reconstruction

__all__ = ["RunFolder", "read_png"]

OPTIONAL = ("acceptance", "clamped", "effective_particles")
"""Numbers of `Draws` that not every solver has."""


ROUNDING = 0.05
"""By how much, of its size, a measurement may be another on another device, or in another precision of a network."""


class RunFolder(Ledger):
    """The ledger of one run, and what is in its files.

    Args:
        path: the folder; made on the first write.
    """

    def shows(self, index: int, image: Kept) -> bool:
        """Whether a finished image is that of another run: the clean one or, where nobody knows it, what was measured.

        Args:
            index: its position in the data set.
            image: the other one.
        """
        if image.source is not None:
            file = self.source(index)
            return file.exists() and torch.equal(read_png(file), image.source.cpu())
        kept = self._value(index)
        if isinstance(kept, str) or isinstance(image.measurement, str):
            return kept == image.measurement
        return kept.shape == image.measurement.shape and torch.allclose(kept, image.measurement.cpu(), equal_nan=True)

    def measured_alike(self, index: int, image: Kept) -> bool:
        """Whether what was measured of a finished image is what is measured now, but for the rounding of devices.

        Args:
            index: its position in the data set.
            image: as it is now.
        """
        kept, now = self._value(index), image.measurement
        if isinstance(kept, str) or isinstance(now, str):
            return kept == now
        if not (now.is_floating_point() or now.is_complex()) or kept.shape != now.shape:
            return kept.shape == now.shape  # labels: at an edge networks may see another one
        there, here = kept.to(torch.complex128), now.cpu().to(torch.complex128)
        return not float((here - there).norm()) > ROUNDING * float(there.norm())  # where NaN are measured, nobody knows

    def write(self, batch: list[int], kept: list[Kept], draws: Draws, made_by: str, written_as: str = "") -> None:
        """Write all files of the images of a batch that have no record yet, and then their records.

        Args:
            batch: positions of the images in the data set.
            kept: what is kept of each of them.
            draws: their posterior samples.
            made_by: fingerprint of the configuration.
            written_as: digest of its text; see `as_written`.

        Raises:
            UnusablePathError: if the folder cannot be written to.
        """
        new = {index: row for row, index in enumerate(batch) if not self.finished(index)}
        files = {index: self._files(index, kept[row], draws, row) for index, row in new.items()}
        for content in files.values():
            for file, some in content.items():
                write_atomically(file, some, durable=False)
        if new:
            flush(file for content in files.values() for file in content)
        for index, row in new.items():
            record = {
                "index": index,
                "name": kept[row].name,
                **({} if kept[row].label is None else {"label": kept[row].label}),
                "batch": batch,
                "shape": list(draws.samples.shape[2:]),
                "diverged": draws.diverged[row].tolist(),
                "cost": draws.costs[row]._asdict(),
                **{name: None if (found := getattr(draws, name)) is None else found[row].tolist() for name in OPTIONAL},
                "made_by": made_by,
                "written_as": written_as,
                "sha256": {self.name(file): hashlib.sha256(some).hexdigest() for file, some in files[index].items()},
            }
            write_atomically(self._record(index), sealed(record), durable=False)

    def read(self, index: int) -> Draws | None:
        """The draws of one image, `B = 1`, or None while it is not finished or if a file of it is gone or damaged."""
        record = self.record(index)
        if record is None or self._wrong(record):
            return None
        # A sample that diverged has no file; mid-grey stands for it.
        grey = torch.full(record["shape"], 128, dtype=torch.uint8)
        samples = [
            grey if diverged else read_png(self.sample(index, sample))
            for sample, diverged in enumerate(record["diverged"])
        ]
        known = {name: record.get(name) for name in OPTIONAL}
        return Draws(
            torch.stack(samples)[None],
            torch.tensor([record["diverged"]]),
            [Cost(**record["cost"])],
            **{name: torch.tensor([value], dtype=torch.float64) for name, value in known.items() if value is not None},
        )

    def reconstruction(self, indices: list[int]) -> Reconstruction:
        """Everything that was known about finished images when they were sampled.

        Args:
            indices: their positions in the data set, one at least.

        Raises:
            ValueError: if a file of them is gone or damaged.
        """
        records = [self.require(index) for index in indices]
        draws = self.recall(indices)
        assert draws is not None  # for all are there
        files = [self.source(index) for index in indices]
        known = all(self.name(file) in record["sha256"] for file, record in zip(files, records, strict=True))
        labels = [record["label"] for record in records if "label" in record]
        return Reconstruction(
            torch.tensor(indices),
            [record["name"] for record in records],
            torch.stack([read_png(file) for file in files]) if known else None,
            _together([self._value(index) for index in indices]),
            draws,
            torch.tensor(labels) if labels else None,
        )

    def recall(self, indices: list[int]) -> Draws | None:
        """The draws of several images, or None if one of them is not finished, or a file of it is gone or damaged."""
        parts = [part for part in map(self.read, indices) if part is not None]
        if len(parts) < len(indices):
            return None
        known = {name: [getattr(part, name) for part in parts] for name in OPTIONAL}
        return Draws(
            torch.cat([part.samples for part in parts]),
            torch.cat([part.diverged for part in parts]),
            [cost for part in parts for cost in part.costs],
            **{name: torch.cat(values) for name, values in known.items() if all(value is not None for value in values)},
        )

    def _files(self, index: int, kept: Kept, draws: Draws, row: int) -> dict[Path, bytes]:
        picture = self.measurement(index)
        words = isinstance(kept.measurement, str)
        files = {} if kept.source is None else {self.source(index): _png(kept.source)}
        files[picture] = _png(kept.picture, kept.palette, kept.classes)
        files[picture.with_suffix(".txt" if words else ".npy")] = _bytes(kept.measurement)
        for sample, (image, diverged) in enumerate(zip(draws.samples[row], draws.diverged[row], strict=True)):
            if not diverged:
                files[self.sample(index, sample)] = _png(image)
        return files

    def _value(self, index: int) -> Tensor | str:
        words, numbers = (self.measurement(index).with_suffix(suffix) for suffix in (".txt", ".npy"))
        if words.exists():
            return words.read_text(encoding="utf-8")
        return torch.from_numpy(np.load(numbers, allow_pickle=False))


def read_png(file: Path) -> Tensor:
    """Read an image as 8 bit, `(3, H, W)`, or `(1, H, W)` where it is grey."""
    return torch.from_numpy(read_pixels(file))


def _png(image: Tensor, palette: Tensor | None = None, classes: tuple[str, ...] = ()) -> bytes:
    """An 8-bit image, `(3, H, W)` or grey `(1, H, W)`, or with a palette classes, `(H, W)`, as a PNG."""
    text = PngInfo()
    if palette is None:
        pixels = image.permute(1, 2, 0).cpu().numpy()
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    else:
        picture = Image.fromarray(image.to(torch.uint8).cpu().numpy(), mode="P")
        picture.putpalette(palette.flatten().tolist())
        text.add_itxt(CLASSES, "\n".join(classes))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", pnginfo=text)
    return buffer.getvalue()


def _bytes(measurement: Tensor | str) -> bytes:
    if isinstance(measurement, str):
        return measurement.encode()
    values = measurement.detach().cpu()
    buffer = io.BytesIO()
    # NumPy has no bfloat16; float32 holds its numbers as they are.
    np.save(buffer, (values.float() if values.dtype == torch.bfloat16 else values).numpy(), allow_pickle=False)
    return buffer.getvalue()


def _together(values: list[Tensor | str]) -> Measurement:
    tensors = [value for value in values if isinstance(value, Tensor)]
    return torch.stack(tensors) if tensors else [value for value in values if isinstance(value, str)]
