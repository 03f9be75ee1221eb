"""FID: the Fréchet distance between the features of all samples and those of a reference set."""

from typing import ClassVar

from torch import Tensor

from dis_lightning.metrics.base import Direction, Value
from dis_lightning.metrics.feature_distance import FeatureDistance
from dis_lightning.metrics.functional.frechet import fit_gaussian, frechet_distance
from dis_lightning.metrics.references import Known

__all__ = ["FID"]


class FID(FeatureDistance):
    """Fréchet distance between the features of all samples and those of a reference set, `fid`.

    Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", 2017; see `dis_lightning.metrics.functional.frechet`.
    Arguments, names and errors are those of `FeatureDistance`.
    """

    values: ClassVar[dict[str, Value]] = {"fid": Value("FID", Direction.LOWER)}
    stem: ClassVar[str] = "fid"
    what: ClassVar[str] = "Fréchet distance"

    def distance(self, x: Tensor, groups: Tensor, reference: Known) -> tuple[float, float | None]:
        """See `FeatureDistance.distance`."""
        return frechet_distance(fit_gaussian(x), reference.gaussian), None
