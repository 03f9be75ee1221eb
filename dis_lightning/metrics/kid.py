"""KID: the kernel distance between the features of all samples and those of a reference set."""

from typing import ClassVar

from torch import Tensor

from dis_lightning.errors import InvalidValueError
from dis_lightning.metrics.base import Direction, Value
from dis_lightning.metrics.feature_distance import FeatureDistance
from dis_lightning.metrics.functional.kernel import kernel_distance
from dis_lightning.metrics.references import Known

__all__ = ["KID"]


class KID(FeatureDistance):
    """Squared kernel distance between the features of all samples and those of a reference set, `kid`, unbiased.

    It may be negative: by chance, as far as its standard error says, for it is unbiased where samples and references
    have nothing to do with each other; and against the run's own sources since every sample resembles its own one,
    which matters the less the more images there are. Binkowski et al., "Demystifying MMD GANs", 2018; see
    `dis_lightning.metrics.functional.kernel`. Arguments, names and errors are those of `FeatureDistance`; statistics
    without features are refused.
    """

    values: ClassVar[dict[str, Value]] = {"kid": Value("KID", Direction.LOWER)}
    stem: ClassVar[str] = "kid"
    what: ClassVar[str] = "squared kernel distance, unbiased, cubic kernel,"
    needs_features: ClassVar[bool] = True

    def distance(self, x: Tensor, groups: Tensor, reference: Known) -> tuple[float, float | None]:
        """See `FeatureDistance.distance`."""
        if reference.features is None or reference.groups is None:
            raise InvalidValueError("the reference holds a mean and a covariance, but no features")
        return kernel_distance(x, reference.features, groups, reference.groups, paired=reference.paired)

    def few(self, images: int, against: str) -> str:
        """See `FeatureDistance.few`."""
        own = ", and since every sample resembles its own source" if self.needs_truth else ""
        return (
            f"Against {against}, {self.key} of the samples of {images} images is uncertain: its standard error is "
            f"large, and it may be negative by chance{own}."
        )
