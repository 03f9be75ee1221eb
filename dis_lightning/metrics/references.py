"""What a set of images is compared with: the run's own sources, a folder of images, or statistics from a file.

A set of images is known by a digest: the SHA-256 of the SHA-256 of all images' 8-bit pixels, in order.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dis_lightning.metrics.frechet import Gaussian, fit_gaussian, known_gaussian

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
            raise FileNotFoundError(f"{self.root} holds no images ({', '.join(ENDINGS)}); give the reference another.")

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
        if not self.file.is_file():
            raise FileNotFoundError(f"{self.file} does not exist; give an .npz file with `mu` and `sigma`.")
        with np.load(self.file, allow_pickle=False) as content:
            if missing := {"mu", "sigma"} - set(content):
                raise ValueError(f"{self.file} holds no {' and '.join(sorted(missing))}, but {', '.join(content)}.")

    def count(self, own: int) -> int | None:
        """See `Reference`."""
        return None

    def know(self, features: Callable[[Tensor], Tensor], own: dict[int, Tensor], digest: str) -> Known:
        """See `Reference`."""
        with np.load(self.file, allow_pickle=False) as content:
            gaussian = known_gaussian(torch.from_numpy(content["mu"]), torch.from_numpy(content["sigma"]))
        what = {
            "reference": f"statistics {self.file.name}",
            "reference_digest": hashlib.sha256(self.file.read_bytes()).hexdigest(),
        }
        return Known(gaussian, None, None, False, what)


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
