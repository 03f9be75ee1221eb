"""What every reference has: it is checked before a run, and known by the features of its images after it.

A set of images is known by a digest: the SHA-256 of the SHA-256 of all images' 8-bit pixels, in order.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from dis_lightning.data import ImageTransform
from dis_lightning.described import Described
from dis_lightning.metrics.functional.frechet import Gaussian, fit_gaussian

__all__ = ["CHUNK", "REMEMBERED", "Known", "Looker", "Reference", "digest_of", "digest_of_set", "known_by", "with_bar"]

CHUNK = 64
"""Images that are in memory at once."""


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


class Looker(NamedTuple):
    """By what images are compared."""

    rows: Callable[[Tensor], Tensor]
    """Gives the features of 8-bit images, `(N, C, H, W)` to `(N, P, D)`, each cut into P pieces."""
    identity: str
    """What tells these features from others: network, weights and pieces."""


class Reference(Described, ABC):
    """A set of images to compare with."""

    has_features: bool = True
    """Whether its features are known, and not just their mean and covariance; after `check`."""

    def check(self, shape: tuple[int, ...], transform: ImageTransform | None) -> None:
        """Find what is needed and look at all of it, before anything is sampled.

        Args:
            shape: shape of the run's images, `(C, H, W)`.
            transform: how they were brought to that size, where it is known.

        Raises:
            FileNotFoundError: if it is not there.
            ValueError: if it cannot be used.
        """
        return

    def require(self, width: int) -> None:
        """Refuse features that the set cannot be compared by, before anything is sampled; called after `check`.

        Args:
            width: how many numbers a feature has, D.

        Raises:
            ValueError: if it cannot.
        """
        return

    @abstractmethod
    def count(self, own: int) -> int | None:
        """How many images the set has; None where nobody knows. Called after `check`.

        Args:
            own: how many images the run has.
        """

    @abstractmethod
    def know(self, looker: Looker, own: dict[int, Tensor], digest: str) -> Known:
        """Know the set by its features.

        Args:
            looker: by what images are compared.
            own: features of the run's own sources, `(P, D)`, by index of the image; none where nobody asked for them.
            digest: of the run's own sources.
        """


REMEMBERED: dict[str, Known] = {}
"""The sets that were looked at in this process, by what they are looked at with: FID and KID ask for the same."""


def digest_of(image: Tensor) -> bytes:
    """SHA-256 of the pixels of an 8-bit image, `(C, H, W)`."""
    return hashlib.sha256(image.cpu().contiguous().numpy().tobytes()).digest()


def digest_of_set(digests: Iterable[bytes]) -> str:
    """SHA-256 of the images' own, in order, as hexadecimal digits."""
    return hashlib.sha256(b"".join(digests)).hexdigest()


def known_by(features: Tensor, definition: dict[str, Any]) -> Known:
    """A set by the features of the pieces of its images, `(M, P, D)`."""
    images, pieces, _ = features.shape
    groups = torch.arange(images).repeat_interleave(pieces)
    rows = features.flatten(0, 1)
    return Known(fit_gaussian(rows), rows, groups, paired=False, definition=definition)


def with_bar(parts: Iterable[Tensor], total: int, name: str) -> Iterator[Tensor]:
    """Go through images that are read part by part, with a bar for who waits.

    Args:
        parts: the images, a few at a time.
        total: how many there are in all.
        name: of the set.
    """
    with tqdm(total=total, desc=f"features of {name}", unit="image", disable=None) as bar:
        for images in parts:
            yield images
            bar.update(len(images))
