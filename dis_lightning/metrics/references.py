"""What a set of images is compared with: the run's own sources, a folder of images, or a file that others wrote.

A set of images is known by a digest: the SHA-256 of the SHA-256 of all images' 8-bit pixels, in order.
"""

import hashlib
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile, ZipFile
from zlib import error as BadDeflate

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from dis_lightning.data import ImageSet, ImageTransform, folder_images
from dis_lightning.data.stored import Channels
from dis_lightning.described import Described
from dis_lightning.errors import InvalidValueError, MissingFileError
from dis_lightning.files import expanded, file_sha256, write_atomically
from dis_lightning.images import quantise
from dis_lightning.images.files import find_files
from dis_lightning.metrics.functional.frechet import Gaussian, fit_gaussian, known_gaussian

__all__ = ["ImageFolder", "Known", "OwnSources", "Reference", "Statistics", "digest_of", "digest_of_set"]

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


class OwnSources(Reference):
    """The clean images of the run itself."""

    def count(self, own: int) -> int | None:
        """See `Reference`."""
        return own

    def know(self, looker: Looker, own: dict[int, Tensor], digest: str) -> Known:
        """See `Reference`."""
        what = {"reference": "the run's own sources", "reference_digest": digest, "reference_images": len(own)}
        groups = torch.tensor([index for index, row in own.items() for _ in row])
        return _known(torch.cat(list(own.values())), groups, paired=True, definition=what)


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
        if identity not in _KNOWN:
            _KNOWN[identity] = self._kept(identity) or self._computed(looker, identity)
        return _KNOWN[identity]

    def _computed(self, looker: Looker, identity: str) -> Known:
        assert self._images is not None
        digests = hashlib.sha256()
        parts = []
        for images in _parts(self._images, f"features of {self.root.name}"):
            parts.append(looker.rows(images))
            for image in images:
                digests.update(digest_of(image))
        features = torch.cat(parts)
        what = {
            "reference": f"images of {self.root.name}",
            "reference_digest": digests.hexdigest(),
            "reference_images": len(features),
            "reference_transform": str(self._chosen),
        }
        found = _known_by_image(features, what)
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
            return _known_by_image(features, json.loads(str(content["definition"])))

    def _identity(self, looker: Looker) -> str:
        digest = hashlib.sha256(f"{looker.identity} {self._chosen}".encode())
        for name in find_files(self.root):
            digest.update(hashlib.sha256((self.root / name).read_bytes()).digest())
        return digest.hexdigest()


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
        if identity not in _KNOWN:
            features = self._features(looker)
            if features is None:
                assert self._gaussian is not None  # one of them there is; see `_headers`
                _KNOWN[identity] = Known(self._gaussian, None, None, False, what)
            else:
                found = _known_by_image(features, {**what, "reference_images": len(features)})
                _KNOWN[identity] = found._replace(gaussian=self._gaussian or found.gaussian)
        return _KNOWN[identity]

    def _features(self, looker: Looker) -> Tensor | None:
        if "feats" in self._headers:
            with np.load(self.file, allow_pickle=False) as content:
                return torch.from_numpy(content["feats"])[:, None].float()
        if "arr_0" in self._headers:
            count = self._headers["arr_0"][0][0]
            with tqdm(total=count, desc=f"features of {self.file.name}", unit="image", disable=None) as bar:
                parts = []
                for images in self._images():
                    parts.append(looker.rows(images))
                    bar.update(len(images))
            return torch.cat(parts)
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
                    with archive.open(name) as stream:
                        found[name.removesuffix(".npy")] = _header(stream)
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


WANTED = "an .npz file with `mu` and `sigma`, with `feats`, or with images as `arr_0`"

_KNOWN: dict[str, Known] = {}
"""The sets that were looked at in this process: FID and KID ask for the same."""


def digest_of(image: Tensor) -> bytes:
    """SHA-256 of the pixels of an 8-bit image, `(C, H, W)`."""
    return hashlib.sha256(image.cpu().contiguous().numpy().tobytes()).digest()


def digest_of_set(digests: Iterable[bytes]) -> str:
    """SHA-256 of the images' own, in order, as hexadecimal digits."""
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _parts(images: ImageSet, title: str) -> Iterator[Tensor]:
    """8-bit images, a few at a time, with a bar for who waits."""
    with tqdm(total=len(images), desc=title, unit="image", disable=None) as bar:
        for first in range(0, len(images), CHUNK):
            numbers = range(first, min(first + CHUNK, len(images)))
            yield quantise(torch.stack([images[number]["image"] for number in numbers]))
            bar.update(len(numbers))


def _known_by_image(features: Tensor, definition: dict[str, Any]) -> Known:
    """A set by features of the pieces of its images, `(M, P, D)`."""
    images, pieces, _ = features.shape
    groups = torch.arange(images).repeat_interleave(pieces)
    return _known(features.flatten(0, 1), groups, paired=False, definition=definition)


def _known(features: Tensor, groups: Tensor, *, paired: bool, definition: dict[str, Any]) -> Known:
    return Known(fit_gaussian(features), features, groups, paired, definition)


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


def _header(stream: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array, from the beginning of its file."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = read(stream)
    return shape, kind
