"""What FID and KID share: the features of all samples, and those of a reference set."""

import warnings
from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError, require_whole
from dis_lightning.metrics.base import SetMetric, entry
from dis_lightning.metrics.networks.base import FeatureNetwork
from dis_lightning.metrics.networks.inception import InceptionFeatures
from dis_lightning.metrics.references import Known, Looker, OwnSources, Reference, digest_of, digest_of_set
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Reconstruction

__all__ = ["FeatureDistance"]

ENOUGH = 2048
"""Below this number of images the bias of the Fréchet distance hides the differences between methods."""


class FeatureDistance(SetMetric):
    """A distance between the features of all samples and those of a reference set.

    With Inception features it is called by its own name, such as `fid`; with others it carries the network's name,
    `fid_rooms`; on patches also their size, `fid_patches_64`. Diverged samples are left out.

    Args:
        features: what images are compared by; by default Inception v3.
        reference: what they are compared with; by default the run's own sources.
        patch: side of the squares that images are cut into, in pixels, without overlap; None for whole images. Xu et
            al., 2024, cut images of 256 into squares of 64.
        name: what the value's name ends with, `fid_NAME`; several references need several names.

    Raises:
        ValueError: if `patch` is below 1 or, at the start of a run, if it does not divide the images, or the reference
            cannot be used.
    """

    stem: ClassVar[str]
    """What the distance is called."""
    what: ClassVar[str]
    """What it is, in words."""
    needs_features: ClassVar[bool] = False
    """Whether the mean and covariance of the reference are not enough."""

    def __init__(
        self,
        features: FeatureNetwork | None = None,
        reference: Reference | None = None,
        patch: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__()
        if patch is not None:
            require_whole(self, 1, patch=patch)
        self.features = InceptionFeatures() if features is None else features
        self.reference = OwnSources() if reference is None else reference
        self.needs_truth = isinstance(self.reference, OwnSources)
        self.patch = patch
        self.name = name
        self._facts: dict[str, Any] = {}

    @abstractmethod
    def distance(self, x: Tensor, groups: Tensor, reference: Known) -> tuple[float, float | None]:
        """The distance, and its standard error where it has one.

        Args:
            x: features of all pieces of all samples, `(N, D)`.
            groups: which image each of them belongs to, `(N,)`.
            reference: what is known of the reference set.

        Raises:
            ValueError: if it cannot be computed.
        """

    @property
    def key(self) -> str:
        """See `Metric.key`."""
        network = None if isinstance(self.features, InceptionFeatures) else self.features.name
        pieces = None if self.patch is None else f"patches_{self.patch}"
        return "_".join(filter(None, [self.stem, network, pieces, self.name]))

    def require(self, solver: Solver, images: int) -> None:
        """See `Metric.require`."""
        if self.needs_truth and not self.truth:
            raise InvalidValueError(
                f"{self.key} would compare with the run's own clean images, which nobody knows; give it a reference, "
                f"or take {type(self).__name__} out."
            )
        self.reference.check(tuple(solver.denoiser.shape), self.transform)
        samples, references = images * solver.num_samples, self.reference.count(images)
        if min(samples, references or samples) * self._pieces(solver) < 2:
            raise InvalidValueError(
                f"{self.key} compares two images or more with two or more, but the run has {samples} and the "
                f"reference {references or 'a known mean'}; raise num_images, or take {type(self).__name__} out."
            )

    def prepare(self, solver: Solver, device: torch.device) -> None:
        """See `Metric.prepare`."""
        self._pieces(solver)
        self.reference.check(tuple(solver.denoiser.shape), self.transform)
        if self.needs_features and not self.reference.has_features:
            raise InvalidValueError(
                f"{self.key} compares features one by one, but its reference holds their mean and covariance alone; "
                f"give a folder of images, or a file with features (`feats`), or take {type(self).__name__} out."
            )
        self.features.load(device)
        self._device = device
        blank = torch.zeros(1, *solver.denoiser.shape, dtype=torch.uint8)
        self.reference.require(self._rows(blank).shape[-1])

    def extract(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See `SetMetric.extract`."""
        samples, diverged, *_ = reconstruction.draws
        drawn = self._rows(samples.flatten(0, 1)).unflatten(0, samples.shape[:2])
        found = {"samples": drawn.masked_fill(diverged.cpu()[:, :, None, None], torch.nan)}
        if self.needs_truth:
            digests = [list(digest_of(source)) for source in reconstruction.truth]
            found |= {"sources": self._rows(reconstruction.truth), "digests": torch.tensor(digests, dtype=torch.uint8)}
        return found

    def reduce(self, rows: dict[int, dict[str, Tensor]]) -> dict[str, dict[str, Any]]:
        """See `SetMetric.reduce`."""
        drawn = {index: row["samples"].flatten(0, 1) for index, row in rows.items()}
        kept = {index: row[row.isfinite().all(dim=1)] for index, row in drawn.items()}
        x, groups = torch.cat(list(kept.values())), torch.tensor([index for index, row in kept.items() for _ in row])
        self._facts = {"n": len(x)}
        if len(x) < 2:
            raise InvalidValueError(f"only {len(x)} of {sum(map(len, drawn.values()))} samples did not diverge")
        own = {index: row["sources"] for index, row in rows.items() if "sources" in row}
        digest = digest_of_set(bytes(row["digests"].tolist()) for row in rows.values() if "digests" in row)
        reference = self.reference.know(Looker(self._rows, f"{self.features.define()} {self.patch}"), own, digest)
        self._facts |= reference.definition
        images = len(groups.unique())
        self._facts |= self._caution(images, reference.groups)
        return {self.section: {self.key: entry(*self.distance(x, groups, reference), images=images)}}

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        cut = "whole images" if self.patch is None else f"squares of {self.patch} pixels"
        return {"what": f"{self.what} of features of {cut}, float64", **self.features.define(), **self._facts}

    def _caution(self, images: int, references: Tensor | None) -> dict[str, str]:
        """Warn of few images, for the definition too; several samples or pieces of one count once."""
        others = None if references is None else len(references.unique())
        if min(images, others or images) >= ENOUGH:
            return {}
        caution = self.few(images, "known statistics" if others is None else f"{others} images")
        warnings.warn(caution, stacklevel=4)
        return {"caution": caution}

    def few(self, images: int, against: str) -> str:
        """What is to be said of few images.

        Args:
            images: how many images have samples.
            against: what they are compared with, in words.
        """
        return (
            f"Against {against}, {self.key} of the samples of {images} images is biased; {ENOUGH} or more are usual on "
            "both sides."
        )

    def _pieces(self, solver: Solver) -> int:
        """How many pieces an image is cut into."""
        height, width = solver.denoiser.shape[1:]
        side = self.patch
        if side is None:
            return 1
        if height % side or width % side:
            raise InvalidValueError(
                f"Images of {height} x {width} pixels cannot be cut into squares of {side}; change patch."
            )
        return (height // side) * (width // side)

    def _rows(self, images: Tensor) -> Tensor:
        """Features of 8-bit images `(N, C, H, W)`, cut into P pieces, `(N, P, D)`."""
        side = self.patch
        if side is None:
            return self.features.rows(images.to(self._device))[:, None]
        pieces = images.unfold(2, side, side).unfold(3, side, side).permute(0, 2, 3, 1, 4, 5)
        rows = self.features.rows(pieces.flatten(0, 2).to(self._device))
        return torch.unflatten(rows, 0, (len(images), -1))
