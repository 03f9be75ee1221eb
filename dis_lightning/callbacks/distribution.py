"""How far the samples of all images together are from a reference set: FID and KID."""

import warnings
from typing import Any

import torch
from torch import Tensor

from dis_lightning.callbacks.metric import SetMetric
from dis_lightning.errors import InvalidValueError
from dis_lightning.images import quantise
from dis_lightning.metrics.features import FeatureNetwork
from dis_lightning.metrics.frechet import fit_gaussian, frechet_distance
from dis_lightning.metrics.inception import InceptionFeatures
from dis_lightning.metrics.kernel import kernel_distance
from dis_lightning.metrics.references import OwnSources, Reference, digest_of, digest_of_set
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Reconstruction

__all__ = ["Distribution"]

ENOUGH = 2048
"""Below this number of images the bias of the Fréchet distance hides the differences between methods."""


class Distribution(SetMetric):
    """Fréchet and kernel distance between the features of all samples and those of a reference set.

    With Inception features they are `fid` and `kid`; with others they carry the network's name, `fid_rooms`; on patches
    also their size, `fid_patches_64`. See `dis_lightning.metrics.frechet` and `.kernel`; the latter
    has a standard error. Diverged samples are left out.

    Args:
        features: what images are compared by; by default Inception v3.
        reference: what they are compared with; by default the run's own sources.
        patch: side of the squares that images are cut into, in pixels, without overlap; None for whole images. Xu et
            al., 2024, cut images of 256 into squares of 64.
        name: what the values' names end with, `fid_NAME`; several references need several names.

    Raises:
        ValueError: if `patch` is below 1 or, at the start of a run, if it does not divide the images.
    """

    def __init__(
        self,
        features: FeatureNetwork | None = None,
        reference: Reference | None = None,
        patch: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__()
        if patch is not None and patch < 1:
            raise InvalidValueError(f"Distribution needs patch >= 1, or none, but got {patch}.")
        self.features = InceptionFeatures() if features is None else features
        self.reference = OwnSources() if reference is None else reference
        self.patch = patch
        self.name = name
        self._facts: dict[str, Any] = {}

    @property
    def key(self) -> str:
        """See `Metric.key`."""
        return self._name("fid")

    def require(self, solver: Solver, images: int) -> None:
        """See `Metric.require`."""
        self.reference.check()
        samples, references = images * solver.num_samples, self.reference.count(images)
        if min(samples, references or samples) * self._pieces(solver) < 2:
            raise InvalidValueError(
                f"{self._name('fid')} compares two images or more with two or more, but the run has {samples} and the "
                f"reference {references or 'a known mean'}; raise num_images, or take Distribution out."
            )

    def prepare(self, solver: Solver, device: torch.device) -> None:
        """See `Metric.prepare`."""
        self._pieces(solver)
        self.reference.check()
        self.features.load(device)
        self._device = device
        blank = torch.zeros(1, *solver.denoiser.shape, dtype=torch.uint8)
        self.reference.require(self._rows(blank).shape[-1], self.patch)

    def extract(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See `SetMetric.extract`."""
        samples, diverged, *_ = reconstruction.draws
        drawn = self._rows(samples.flatten(0, 1)).unflatten(0, samples.shape[:2])
        sources = quantise(reconstruction.source)
        digests = [list(digest_of(source)) for source in sources]
        return {
            "samples": drawn.masked_fill(diverged.cpu()[:, :, None, None], torch.nan),
            "sources": self._rows(sources),
            "digests": torch.tensor(digests, dtype=torch.uint8),
        }

    def reduce(self, rows: dict[int, dict[str, Tensor]]) -> dict[str, dict[str, Any]]:
        """See `SetMetric.reduce`."""
        drawn = {index: row["samples"].flatten(0, 1) for index, row in rows.items()}
        kept = {index: row[row.isfinite().all(dim=1)] for index, row in drawn.items()}
        x, groups = torch.cat(list(kept.values())), torch.tensor([index for index, row in kept.items() for _ in row])
        digest = digest_of_set(bytes(row["digests"].tolist()) for row in rows.values())
        reference = self.reference.know(self._rows, {index: row["sources"] for index, row in rows.items()}, digest)
        self._facts = {"n": len(x), **reference.definition}
        self._warn(groups, reference.groups)
        values = {self._name("fid"): _entry(frechet_distance(fit_gaussian(x), reference.gaussian), None, len(rows))}
        if reference.features is not None and reference.groups is not None:
            distance = kernel_distance(x, reference.features, groups, reference.groups, paired=reference.paired)
            values[self._name("kid")] = _entry(*distance, len(rows))
        return {"set": values}

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        what = "squared kernel distance, unbiased, cubic kernel" if name.startswith("kid") else "Fréchet distance"
        cut = "whole images" if self.patch is None else f"squares of {self.patch} pixels"
        return {"what": f"{what} of features of {cut}, float64", **self.features.define(), **self._facts}

    def _name(self, stem: str) -> str:
        network = None if isinstance(self.features, InceptionFeatures) else self.features.name
        pieces = None if self.patch is None else f"patches_{self.patch}"
        return "_".join(filter(None, [stem, network, pieces, self.name]))

    def _warn(self, groups: Tensor, references: Tensor | None) -> None:
        """Warn of few images; several samples or pieces of one count once."""
        images, others = len(groups.unique()), None if references is None else len(references.unique())
        if min(images, others or images) < ENOUGH:
            against = "known statistics" if others is None else f"{others} images"
            warnings.warn(
                f"Against {against}, {self._name('fid')} of the samples of {images} images is biased; {ENOUGH} or more "
                "are usual on both sides.",
                stacklevel=3,
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
        """Features of 8-bit images `(N, 3, H, W)`, cut into P pieces, `(N, P, D)`."""
        side = self.patch
        if side is None:
            return self.features.rows(images.to(self._device))[:, None]
        pieces = images.unfold(2, side, side).unfold(3, side, side).permute(0, 2, 3, 1, 4, 5)
        rows = self.features.rows(pieces.flatten(0, 2).to(self._device))
        return torch.unflatten(rows, 0, (len(images), -1))


def _entry(value: float, standard_error: float | None, images: int) -> dict[str, Any]:
    known = standard_error is not None and torch.tensor(standard_error).isfinite()
    return {"mean": value, "standard_error": standard_error if known else None, "images": images, "infinite": 0}
