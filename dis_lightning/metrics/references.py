"""What a set of images is compared with: the run's own sources, a folder of images, or statistics from a file.

A set of images is known by a digest: the SHA-256 of the SHA-256 of all images' 8-bit pixels, in order.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile
from zlib import error as BadDeflate

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dis_lightning.errors import InvalidValueError, MissingFileError
from dis_lightning.metrics.frechet import Gaussian, fit_gaussian, known_gaussian
from dis_lightning.weights import file_sha256

__all__ = ["ImageFolder", "Known", "OwnSources", "Reference", "Statistics", "digest_of", "digest_of_set"]

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


class Known(NamedTuple):
    """What is known of a reference set."""

    gaussian: Gaussian
    """Its mean and covariance."""
    features: Tensor | None
    """All its features, `(M, D)`, where they are known."""
    groups: Tensor | None
    """Which image each of them belongs to, `(M,)`."""
    paired: bool
    """Whether these are the sources of the images that are compared, by their indices."""
    definition: dict[str, Any]
    """What it is: a description, its digest, the number of images."""


class Reference(ABC):
    """A set of images to compare with."""

    @abstractmethod
    def check(self) -> None:
        """Find what is needed, before anything is sampled.

        Raises:
            FileNotFoundError: if it is not there.
            ValueError: if it cannot be used.
        """

    @abstractmethod
    def require(self, width: int, patch: int | None) -> None:
        """Refuse features that the set cannot be compared by, before anything is sampled; called after `check`.

        Args:
            width: how many numbers a feature has, D.
            patch: side of the squares that images are cut into, in pixels; None for whole images.

        Raises:
            ValueError: if it cannot.
        """

    @abstractmethod
    def count(self, own: int) -> int | None:
        """How many images the set has; None where nobody knows.

        Args:
            own: how many images the run has.
        """

    @abstractmethod
    def know(self, features: Callable[[Tensor], Tensor], own: dict[int, Tensor], digest: str) -> Known:
        """Know the set by its features.

        Args:
            features: gives the features of 8-bit images, `(N, 3, H, W)` to `(N, P, D)`.
            own: features of the run's own sources, `(P, D)`, by index of the image.
            digest: of the run's own sources.
        """


class OwnSources(Reference):
    """The clean images of the run itself."""

    def check(self) -> None:
        """See `Reference`."""

    def require(self, width: int, patch: int | None) -> None:
        """See `Reference`."""

    def count(self, own: int) -> int | None:
        """See `Reference`."""
        return own

    def know(self, features: Callable[[Tensor], Tensor], own: dict[int, Tensor], digest: str) -> Known:
        """See `Reference`."""
        what = {"reference": "the run's own sources", "reference_digest": digest, "reference_images": len(own)}
        return _known(own, paired=True, definition=what)


class ImageFolder(Reference):
    """All images of a folder and the folders in it, in the order of their paths.

    Args:
        root: the folder.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser()

    def check(self) -> None:
        """See `Reference`."""
        if not self._files():
            raise MissingFileError(f"{self.root} holds no images ({', '.join(ENDINGS)}); give the reference another.")

    def require(self, width: int, patch: int | None) -> None:
        """See `Reference`."""
        if patch is None:
            return
        for file in self._files():
            with Image.open(file) as image:
                columns, rows = image.size
            if rows % patch or columns % patch:
                raise InvalidValueError(
                    f"{file} of {rows} x {columns} pixels cannot be cut into squares of {patch}; change patch, or "
                    "bring the reference's images to the size of the run's."
                )

    def count(self, own: int) -> int | None:
        """See `Reference`."""
        return len(self._files())

    def know(self, features: Callable[[Tensor], Tensor], own: dict[int, Tensor], digest: str) -> Known:
        """See `Reference`."""
        found = {number: features(image[None])[0] for number, image in enumerate(self.images())}
        what = {
            "reference": f"images of {self.root.name}",
            "reference_digest": digest_of_set(digest_of(image) for image in self.images()),
            "reference_images": len(found),
        }
        return _known(found, paired=False, definition=what)

    def images(self) -> Iterator[Tensor]:
        """The images one after another, 8 bit, `(3, H, W)`."""
        for file in self._files():
            with Image.open(file) as image:
                yield torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)

    def _files(self) -> list[Path]:
        return sorted(file for file in self.root.rglob("*") if file.suffix.lower() in ENDINGS)


class Statistics(Reference):
    """A mean and a covariance of features in an `.npz` file, `mu` and `sigma`, as pytorch-fid and others write them.

    They must come from the same network on images cut in the same way. Nothing but the Fréchet distance is known then.

    Args:
        file: the file.
    """

    def __init__(self, file: str | Path) -> None:
        self.file = Path(file).expanduser()

    def check(self) -> None:
        """See `Reference`."""
        _ = self._gaussian

    def require(self, width: int, patch: int | None) -> None:
        """See `Reference`."""
        if len(self._gaussian.mean) != width:
            raise InvalidValueError(
                f"{self.file} holds statistics of features of {len(self._gaussian.mean)} numbers, but those of the run "
                f"have {width}; give statistics that were made with the same network."
            )

    def count(self, own: int) -> int | None:
        """See `Reference`."""
        return None

    def know(self, features: Callable[[Tensor], Tensor], own: dict[int, Tensor], digest: str) -> Known:
        """See `Reference`."""
        what = {"reference": f"statistics {self.file.name}", "reference_digest": file_sha256(self.file)}
        return Known(self._gaussian, None, None, False, what)

    @cached_property
    def _gaussian(self) -> Gaussian:
        if not self.file.is_file():
            raise MissingFileError(f"{self.file} does not exist; give an .npz file with `mu` and `sigma`.")
        try:
            # numpy would leave a file open that it cannot read
            with self.file.open("rb") as stream, np.load(stream, allow_pickle=False) as content:
                if missing := {"mu", "sigma"} - set(content):
                    raise InvalidValueError(f"it holds no {' and '.join(sorted(missing))}, but {', '.join(content)}")
                return known_gaussian(torch.from_numpy(content["mu"]), torch.from_numpy(content["sigma"]))
        except (BadDeflate, BadZipFile, EOFError, TypeError, ValueError) as error:
            raise InvalidValueError(
                f"{self.file} is no reference ({error}); give an .npz file with `mu` and `sigma`."
            ) from error


def digest_of(image: Tensor) -> bytes:
    """SHA-256 of the pixels of an 8-bit image, `(3, H, W)`."""
    return hashlib.sha256(image.cpu().contiguous().numpy().tobytes()).digest()


def digest_of_set(digests: Iterable[bytes]) -> str:
    """SHA-256 of the images' own, in order, as hexadecimal digits."""
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _known(rows: dict[int, Tensor], *, paired: bool, definition: dict[str, Any]) -> Known:
    features = torch.cat(list(rows.values()))
    groups = torch.tensor([index for index, row in rows.items() for _ in row])
    return Known(fit_gaussian(features), features, groups, paired, definition)
