"""A folder of images as a reference, whose features are kept in a file where that is asked for."""

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dis_lightning.data import ImageSet, ImageTransform, folder_images
from dis_lightning.data.stored import Channels
from dis_lightning.errors import InvalidValueError
from dis_lightning.files import expanded, write_atomically
from dis_lightning.images import quantise
from dis_lightning.images.files import find_files
from dis_lightning.metrics.references.base import (
    CHUNK,
    REMEMBERED,
    Known,
    Looker,
    Reference,
    digest_of,
    digest_of_set,
    known_by,
    with_bar,
)

__all__ = ["ImageFolder"]


class ImageFolder(Reference):
    """All images of a folder and the folders in it, read as `FolderData` reads them.

    Args:
        root: the folder.
        transform: what brings them to the size of the run's images; by default that of the run's own data.
        keep: an `.npz` file for their features (`feats`), mean (`mu`) and covariance (`sigma`), as pytorch-fid and
            clean-fid name them: written once, and read instead of the images as long as these, the transform and the
            network are the same.
    """

    def __init__(
        self, root: str | Path, transform: ImageTransform | None = None, keep: str | Path | None = None
    ) -> None:
        self.root = expanded(root)
        self.transform = transform
        self.keep = None if keep is None else expanded(keep)
        self._images: ImageSet | None = None

    def check(self, shape: tuple[int, ...], transform: ImageTransform | None) -> None:
        """See `Reference`."""
        if self._images is None:
            chosen = self.transform or transform
            channels: Channels = 1 if shape[0] == 1 else 3
            self._images = folder_images(self.root, chosen, channels=channels, option="the reference's root")
            self._chosen = chosen
        (height, width), (rows, columns) = self._images.shape[1:], shape[1:]
        if (height, width) != (rows, columns):
            raise InvalidValueError(
                f"The reference's images in {self.root} are {height} x {width} pixels, but the run's are {rows} x "
                f"{columns}; give the reference a transform that brings them to that size, such as the data's."
            )

    def count(self, own: int) -> int | None:
        """See `Reference`."""
        assert self._images is not None
        return len(self._images)

    def know(self, looker: Looker, own: dict[int, Tensor], digest: str) -> Known:
        """See `Reference`."""
        assert self._images is not None
        identity = self._identity(looker)
        if identity not in REMEMBERED:
            REMEMBERED[identity] = self._kept(identity) or self._computed(looker, identity)
        return REMEMBERED[identity]

    def _computed(self, looker: Looker, identity: str) -> Known:
        assert self._images is not None
        parts: list[Tensor] = []
        digests: list[bytes] = []
        for images in with_bar(_parts(self._images), len(self._images), self.root.name):
            parts.append(looker.rows(images))
            digests += map(digest_of, images)
        features = torch.cat(parts)
        what = {
            "reference": f"images of {self.root.name}",
            "reference_digest": digest_of_set(digests),
            "reference_images": len(features),
            "reference_transform": str(self._chosen),
        }
        found = known_by(features, what)
        if self.keep is not None:
            _write(self.keep, found, features.shape[1], identity)
        return found

    def _kept(self, identity: str) -> Known | None:
        if self.keep is None or not self.keep.exists():
            return None
        with np.load(self.keep, allow_pickle=False) as content:
            if "identity" not in content or str(content["identity"]) != identity:
                return None
            features = torch.from_numpy(content["feats"]).unflatten(0, (-1, int(content["pieces"])))
            return known_by(features, json.loads(str(content["definition"])))

    def _identity(self, looker: Looker) -> str:
        assert self._images is not None
        digest = hashlib.sha256(f"{looker.identity} {self._chosen} {self._images.shape}".encode())
        for name in find_files(self.root):
            digest.update(hashlib.sha256((self.root / name).read_bytes()).digest())
        return digest.hexdigest()


def _parts(images: ImageSet) -> Iterator[Tensor]:
    """8-bit images, a few at a time."""
    for first in range(0, len(images), CHUNK):
        numbers = range(first, min(first + CHUNK, len(images)))
        yield quantise(torch.stack([images[number]["image"] for number in numbers]))


def _write(file: Path, known: Known, pieces: int, identity: str) -> None:
    assert known.features is not None
    features = known.features.double().numpy()
    buffer = io.BytesIO()
    np.savez(
        buffer,
        mu=features.mean(axis=0),
        sigma=np.cov(features, rowvar=False),
        feats=known.features.numpy(),
        pieces=pieces,
        identity=identity,
        definition=json.dumps(known.definition),
    )
    write_atomically(file, buffer.getvalue())
