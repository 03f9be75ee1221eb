"""What others have written of a set of images as a reference."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile
from zlib import error as BadDeflate

import numpy as np
import torch
from torch import Tensor

from dis_lightning.data import ImageTransform
from dis_lightning.errors import InvalidValueError, MissingFileError
from dis_lightning.files import expanded, file_sha256
from dis_lightning.metrics.functional.frechet import Gaussian, known_gaussian
from dis_lightning.metrics.references.base import CHUNK, REMEMBERED, Known, Looker, Reference, known_by, with_bar

__all__ = ["Statistics"]

WANTED = "an .npz file with `mu` and `sigma`, with `feats`, or with images as `arr_0`"


class Statistics(Reference):
    """What others have written of a set of images, in an `.npz` file.

    `mu` and `sigma`, the mean and covariance of features, as pytorch-fid, clean-fid and guided-diffusion write them;
    `feats`, the features themselves, as clean-fid writes them for KID; `arr_0`, the images, 8 bit, `(N, H, W, C)`, as
    guided-diffusion writes them. Where there is a mean, it is that which the Fréchet distance is taken to. Statistics
    and features must come from the same network on images cut in the same way.

    Args:
        file: the file.
    """

    def __init__(self, file: str | Path) -> None:
        self.file = expanded(file)

    def check(self, shape: tuple[int, ...], transform: ImageTransform | None) -> None:
        """See `Reference`."""
        headers = self._headers
        if "arr_0" in headers:
            images, kind = headers["arr_0"]
            wanted = (*shape[1:], shape[0])
            if len(images) != 4 or kind != np.uint8 or images[1:] != wanted:
                raise InvalidValueError(
                    f"{self.file} holds images of shape {images[1:]} ({kind}), but the run's are {wanted} (uint8); "
                    "give a reference of that size."
                )
        _ = self._gaussian
        self.has_features = bool({"arr_0", "feats"} & set(headers))

    def require(self, width: int) -> None:
        """See `Reference`."""
        sizes = [] if self._gaussian is None else [len(self._gaussian.mean)]
        sizes += [self._headers["feats"][0][1]] if "feats" in self._headers else []
        if other := [size for size in sizes if size != width]:
            raise InvalidValueError(
                f"{self.file} holds statistics of features of {other[0]} numbers, but those of the run have {width}; "
                "give statistics that were made with the same network."
            )

    def count(self, own: int) -> int | None:
        """See `Reference`."""
        sizes = [self._headers[name][0][0] for name in ("feats", "arr_0") if name in self._headers]
        return sizes[0] if sizes and self._gaussian is None else None

    def know(self, looker: Looker, own: dict[int, Tensor], digest: str) -> Known:
        """See `Reference`."""
        what = {"reference": f"statistics {self.file.name}", "reference_digest": file_sha256(self.file)}
        identity = f"{what['reference_digest']} {looker.identity}"
        if identity not in REMEMBERED:
            features = self._features(looker)
            if features is None:
                assert self._gaussian is not None  # one of them there is; see `_headers`
                REMEMBERED[identity] = Known(self._gaussian, None, None, False, what)
            else:
                found = known_by(features, {**what, "reference_images": len(features)})
                REMEMBERED[identity] = found._replace(gaussian=self._gaussian or found.gaussian)
        return REMEMBERED[identity]

    def _features(self, looker: Looker) -> Tensor | None:
        if "feats" in self._headers:
            with np.load(self.file, allow_pickle=False) as content:
                return torch.from_numpy(content["feats"])[:, None].float()
        if "arr_0" in self._headers:
            count = self._headers["arr_0"][0][0]
            return torch.cat([looker.rows(images) for images in with_bar(self._images(), count, self.file.name)])
        return None

    def _images(self) -> Iterator[Tensor]:
        """The images of `arr_0`, part by part, for all of them may be larger than the memory."""
        shape, _ = self._headers["arr_0"]
        size = int(np.prod(shape[1:]))
        with ZipFile(self.file) as archive, archive.open("arr_0.npy") as stream:
            _header(stream)
            for first in range(0, shape[0], CHUNK):
                count = min(CHUNK, shape[0] - first)
                pixels = np.frombuffer(bytearray(stream.read(count * size)), np.uint8).reshape(count, *shape[1:])
                yield torch.from_numpy(pixels).permute(0, 3, 1, 2)

    @cached_property
    def _headers(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """Shape and type of every array in the file."""
        if not self.file.is_file():
            raise MissingFileError(f"{self.file} does not exist; give {WANTED}.")
        try:
            with ZipFile(self.file) as archive:
                found = {}
                for name in archive.namelist():
                    key = name.removesuffix(".npy")
                    with archive.open(name) as stream:
                        shape, by_columns, kind = _header(stream)
                    if key == "arr_0" and by_columns:  # it is read image by image
                        raise ValueError("its images are in Fortran's order; save numpy.ascontiguousarray of them")
                    found[key] = shape, kind
        except (BadZipFile, EOFError, OSError, ValueError) as error:
            raise InvalidValueError(f"{self.file} is no reference ({error}); give {WANTED}.") from error
        if not ({"mu", "sigma"} <= set(found) or {"feats", "arr_0"} & set(found)):
            raise InvalidValueError(f"{self.file} is no reference (it holds {', '.join(found)}); give {WANTED}.")
        return found

    @cached_property
    def _gaussian(self) -> Gaussian | None:
        if not {"mu", "sigma"} <= set(self._headers):
            return None
        try:
            # numpy would leave a file open that it cannot read
            with self.file.open("rb") as stream, np.load(stream, allow_pickle=False) as content:
                return known_gaussian(torch.from_numpy(content["mu"]), torch.from_numpy(content["sigma"]))
        except (BadDeflate, BadZipFile, EOFError, TypeError, ValueError) as error:
            raise InvalidValueError(f"{self.file} is no reference ({error}); give {WANTED}.") from error


def _header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape of an array, whether it is in Fortran's order, and its type, from the beginning of its file."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, kind = read(stream)
    return shape, by_columns, kind
