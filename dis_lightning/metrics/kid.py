"""KID: the kernel distance between the features of all samples and those of a reference set."""

from typing import ClassVar

from torch import Tensor

from dis_lightning.errors import InvalidValueError
from dis_lightning.metrics.base import Direction, Value
from dis_lightning.metrics.feature_distance import FeatureDistance
from dis_lightning.metrics.functional.kernel import kernel_distance
from dis_lightning.metrics.references import Known
from dis_lightning.solvers.base import Solver

__all__ = ["KID"]


class KID(FeatureDistance):
    """Squared kernel distance between the features of all samples and those of a reference set, `kid`, unbiased.

    It may be negative by chance, as far as its standard error says. Features of one image, be they of several samples,
    of its pieces, or of a sample and its own source, are not compared with each other: they resemble each other and
    would bias it. Where packages count these pairs too, their values differ from this, the less the more images there
    are. Binkowski et al., "Demystifying MMD GANs", 2018; see `dis_lightning.metrics.functional.kernel`. Arguments,
    names and errors are those of `FeatureDistance`; statistics without features, and single images, are refused. Of a
    folder nobody knows which of its images are the run's own: it should hold others.
    """

    values: ClassVar[dict[str, Value]] = {"kid": Value("KID", Direction.LOWER)}
    stem: ClassVar[str] = "kid"
    what: ClassVar[str] = "squared kernel distance, unbiased, cubic kernel, pairs of different images,"
    needs_features: ClassVar[bool] = True

    def require(self, solver: Solver, images: int) -> None:
        """See `Metric.require`."""
        super().require(solver, images)
        references = self.reference.count(images)
        if min(images, references or images) < 2:
            raise InvalidValueError(
                f"{self.key} compares images with other images, two or more, but the run has {images} and the "
                f"reference {references or 'an unknown number'}; raise num_images, or take KID out."
            )

    def distance(self, x: Tensor, groups: Tensor, reference: Known) -> tuple[float, float | None]:
        """See `FeatureDistance.distance`."""
        if reference.features is None or reference.groups is None:
            raise InvalidValueError("the reference holds a mean and a covariance, but no features")
        return kernel_distance(x, reference.features, groups, reference.groups, paired=reference.paired)

    def few(self, images: int, against: str) -> str:
        """See `FeatureDistance.few`."""
        return (
            f"Against {against}, {self.key} of the samples of {images} images is uncertain: its standard error is "
            f"large, and it may be negative by chance."
        )
