"""How different the samples of an image are from each other."""

from itertools import combinations
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError, require_whole
from dis_lightning.images import dequantise
from dis_lightning.metrics.base import Direction, ImageMetric, Value
from dis_lightning.metrics.functional.diversity import diversity_score, mean_cosine
from dis_lightning.metrics.networks.base import FeatureNetwork
from dis_lightning.metrics.networks.clip import CLIPFeatures
from dis_lightning.metrics.networks.lpips import PerceptualDistance
from dis_lightning.metrics.networks.resnet import ResNetFeatures
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Reconstruction

__all__ = ["DiversityScore", "FeatureSimilarity", "PairwiseLPIPS", "PixelStd", "finite_samples"]


class PixelStd(ImageMetric):
    """Standard deviation of a pixel over the samples, `pixel_std`, in grey levels of 0..255.

    The root of the mean, over pixels and channels, of the unbiased variance over the samples that did not diverge. NaN
    for fewer than two; nothing is reported where images have one sample.
    """

    section: ClassVar[str] = "posterior"
    values: ClassVar[dict[str, Value]] = {"pixel_std": Value("std", Direction.NEITHER, "grey levels")}

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        if reconstruction.draws.samples.shape[1] < 2:
            return {}
        sets = finite_samples(reconstruction)
        values = [s.double().var(dim=0).mean().sqrt() if len(s) > 1 else torch.tensor(torch.nan) for s in sets]
        return {"pixel_std": torch.stack(values)}

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        return {"what": "root mean variance of a pixel over the samples"}


class PairwiseLPIPS(ImageMetric):
    """Mean LPIPS between all pairs of samples of an image, `pairwise_lpips_alex` (or `_vgg`).

    Samples that diverged are left out; NaN for fewer than two.

    Args:
        network: the trunk.
        weights: file of the trunk's weights, or a card; by default torchvision's.
    """

    section: ClassVar[str] = "posterior"
    values: ClassVar[dict[str, Value]] = {"pairwise_lpips": Value("pairwise LPIPS", Direction.NEITHER)}

    def __init__(self, network: Literal["alex", "vgg"] = "alex", weights: str | None = None) -> None:
        super().__init__()
        self.distance = PerceptualDistance(network, weights)

    @property
    def key(self) -> str:
        """See `Metric.key`."""
        return f"pairwise_lpips_{self.distance.network}"

    def prepare(self, solver: Solver, device: torch.device) -> None:
        """See `Metric.prepare`."""
        self.distance.check(solver.denoiser.shape)
        self.distance.load(device)

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        if reconstruction.draws.samples.shape[1] < 2:
            return {}
        values = [self._mean(dequantise(s.to(reconstruction.device))) for s in finite_samples(reconstruction)]
        return {f"pairwise_lpips_{self.distance.network}": torch.tensor(values, dtype=torch.float64)}

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        return {"what": "mean LPIPS between all pairs of samples of an image", **self.distance.define()}

    def _mean(self, samples: Tensor) -> float:
        pairs = torch.tensor(list(combinations(range(len(samples)), 2)), dtype=torch.long)
        if len(pairs) == 0:
            return float("nan")
        one, other = pairs.to(samples.device).T
        # Not all at once: 25 samples make 300 pairs.
        parts = zip(one.split(64), other.split(64), strict=True)
        return float(torch.cat([self.distance(samples[a], samples[b]) for a, b in parts]).double().mean())


class DiversityScore(ImageMetric):
    """Ratio of distances between and within clusters of the samples of an image, `diversity_score`.

    See `metrics.functional.diversity`, also for why it says nothing without `PixelStd`. Samples that diverged are left
    out; NaN for an image with too few different samples.

    Args:
        features: what samples are compared by; by default ResNet-50.
        clusters: number of clusters, >= 2.

    Raises:
        ValueError: if `clusters` is below 2 or, at the start of a run, not below the number of samples per image.
    """

    section: ClassVar[str] = "posterior"
    values: ClassVar[dict[str, Value]] = {"diversity_score": Value("diversity score", Direction.HIGHER)}
    by_number = ("diversity_score",)

    def __init__(self, features: FeatureNetwork | None = None, clusters: int = 6) -> None:
        super().__init__()
        require_whole(self, 2, clusters=clusters)
        self.features = ResNetFeatures() if features is None else features
        self.clusters = clusters

    def prepare(self, solver: Solver, device: torch.device) -> None:
        """See `Metric.prepare`."""
        if solver.num_samples <= self.clusters:
            raise InvalidValueError(
                f"{self.clusters} clusters need more samples of each image, but num_samples is {solver.num_samples}; "
                "draw more in a new run (--model.num_samples), or lower clusters."
            )
        self.features.load(device)

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        device = reconstruction.device
        sets = [self.features.rows(s.to(device)) for s in finite_samples(reconstruction, at_least=1)]
        values = [diversity_score(features, self.clusters) for features in sets]
        return {"diversity_score": torch.tensor(values, dtype=torch.float64)}

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        what = f"mean distance of {self.clusters} k-means centres over mean of mean distances to the centre"
        return {"what": what, **self.features.define()}


class FeatureSimilarity(ImageMetric):
    """Mean cosine between the features of all pairs of samples of an image, `clip_similarity` with CLIP's.

    Purohit et al., 2024, report it as CS. Samples that diverged are left out; NaN for fewer than two.

    Args:
        features: what samples are compared by; by default CLIP's ViT-L/14 of OpenAI.
    """

    section: ClassVar[str] = "posterior"
    values: ClassVar[dict[str, Value]] = {"clip_similarity": Value("CLIP similarity", Direction.LOWER)}

    def __init__(self, features: FeatureNetwork | None = None) -> None:
        super().__init__()
        self.features = CLIPFeatures() if features is None else features

    @property
    def key(self) -> str:
        """See `Metric.key`."""
        return f"{self.features.name}_similarity"

    def prepare(self, solver: Solver, device: torch.device) -> None:
        """See `Metric.prepare`."""
        self.features.load(device)

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        if reconstruction.draws.samples.shape[1] < 2:
            return {}
        device = reconstruction.device
        sets = [self.features.rows(s.to(device)) for s in finite_samples(reconstruction, at_least=1)]
        values = [mean_cosine(features) for features in sets]
        return {self.key: torch.tensor(values, dtype=torch.float64)}

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        return {"what": "mean cosine of features over pairs of samples of an image", **self.features.define()}


def finite_samples(reconstruction: Reconstruction, at_least: int = 0) -> list[Tensor]:
    """The samples of each image that did not diverge, 8 bit; the first `at_least` stand in where there are fewer."""
    draws = reconstruction.draws
    sets = [row[~diverged] for row, diverged in zip(draws.samples, draws.diverged, strict=True)]
    return [kept if len(kept) >= at_least else row[:at_least] for kept, row in zip(sets, draws.samples, strict=True)]
