"""How far samples are from a law that is known: distances, moments, and how often a region holds the truth."""

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, MixtureSameFamily, MultivariateNormal
from torch.nn import functional as F

from dis_lightning.errors import InvalidTypeError
from dis_lightning.priors import ExactPrior, FiniteAtomPrior, GaussianMixturePrior, GaussianPrior

__all__ = [
    "coverage",
    "density_coverage",
    "log_density",
    "moment_errors",
    "moments",
    "sliced_distances",
    "sliced_wasserstein",
    "total_variation",
]


def sliced_wasserstein(first: Tensor, second: Tensor, projections: int = 200) -> float:
    """Wasserstein-1 distance of two sets of equally many samples, its mean over random directions.

    Args:
        first: samples, `(S, *shape)`.
        second: samples, `(S, *shape)`.
        projections: number of directions, the same at every call.
    """
    return float(sliced_distances(first, second, projections).mean())


def sliced_distances(first: Tensor, second: Tensor, projections: int) -> Tensor:
    """Wasserstein-1 distances along random directions, `(projections,)`; see `sliced_wasserstein`.

    In one dimension the best transport pairs the sorted samples.
    """
    generator = torch.Generator().manual_seed(0)
    directions = F.normalize(torch.randn(projections, first[0].numel(), generator=generator))
    sorted_first, sorted_second = ((samples.flatten(1) @ directions.T).sort(dim=0)[0] for samples in (first, second))
    along: Tensor = (sorted_first - sorted_second).abs().mean(dim=0)
    return along


def total_variation(samples: Tensor, atoms: Tensor, probabilities: Tensor) -> float:
    """Total variation between the probabilities of the atoms and how often a sample lies nearest to each.

    Args:
        samples: `(S, *shape)`.
        atoms: `(K, *shape)`.
        probabilities: `(K,)`.
    """
    nearest = torch.cdist(samples.flatten(1), atoms.flatten(1)).argmin(dim=1)
    shares = torch.bincount(nearest, minlength=len(atoms)) / len(samples)
    return float((shares - probabilities).abs().sum() / 2)


def moments(law: ExactPrior) -> tuple[Tensor, Tensor]:
    """Mean `(D,)` and covariance `(D, D)` of a law, in float64.

    Raises:
        TypeError: if the law is neither Gaussian, a mixture of Gaussians, nor finite.
    """
    match law:
        case GaussianPrior(mean=mean, covariance=covariance):
            return mean.double().flatten(), covariance
        case GaussianMixturePrior(means=means, covariances=covariances, weights=weights):
            within = torch.einsum("k, kde -> de", weights.double(), covariances.expand(len(means), -1, -1))
            mean, between = _weighted(means, weights)
            return mean, within + between
        case FiniteAtomPrior(atoms=atoms, weights=weights):
            return _weighted(atoms, weights)
    raise InvalidTypeError(
        f"Moments are known of Gaussians, their mixtures and atoms, but not of {type(law).__name__}."
    )


def log_density(law: ExactPrior, x: Tensor) -> Tensor:
    """Logarithm of the density of a law at images `(N, *shape)`, `(N,)`, in float64.

    Raises:
        TypeError: if the law is neither Gaussian nor a mixture of Gaussians.
    """
    density: Distribution
    match law:
        case GaussianPrior(mean=mean, covariance=covariance):
            density = MultivariateNormal(mean.double().flatten(), covariance)
        case GaussianMixturePrior(means=means, covariances=covariances, log_weights=log_weights):
            parts = MultivariateNormal(means.flatten(1).double(), covariances)
            density = MixtureSameFamily(Categorical(logits=log_weights.double()), parts)
        case _:
            raise InvalidTypeError(
                f"A density is known of Gaussians and their mixtures, but not of {type(law).__name__}."
            )
    values: Tensor = density.log_prob(x.flatten(1).double())  # type: ignore[no-untyped-call]
    return values


def moment_errors(samples: Tensor, mean: Tensor, covariance: Tensor) -> tuple[float, float]:
    """Errors of the mean and of the covariance of samples, relative to the size of the law.

        |m' - m| / sqrt(tr C),    |C' - C| / |C|        in the Frobenius norm

    Args:
        samples: `(S, *shape)` with D values each.
        mean: m, `(D,)`.
        covariance: C, `(D, D)`.
    """
    samples = samples.flatten(1).double()
    shift = (samples.mean(0) - mean).norm() / covariance.trace().sqrt()
    return float(shift), float((torch.cov(samples.T) - covariance).norm() / covariance.norm())


def coverage(samples: Tensor, truths: Tensor, level: float = 0.9) -> float:
    """Share of the truths in the ellipsoid, in the shape of the samples, that holds the share `level` of them.

    For truths from the posterior this is `level` if the samples are too. It is less if they are too narrow or far off.

    Args:
        samples: `(S, *shape)`, with S above the number of values.
        truths: `(N, *shape)`.
        level: share of the samples in the ellipsoid, in (0, 1).
    """
    samples, truths = samples.flatten(1).double(), truths.flatten(1).double()
    precision = torch.linalg.inv(torch.cov(samples.T).reshape(len(samples[0]), -1))

    def depth(x: Tensor) -> Tensor:
        return torch.einsum("nd, de, ne -> n", x - samples.mean(0), precision, x - samples.mean(0))

    return float((depth(truths) <= torch.quantile(depth(samples), level)).double().mean())


def density_coverage(samples: Tensor, truths: Tensor, level: float = 0.9) -> float:
    """Share of the truths in the region of highest density that holds the share `level` of the samples.

    A truth is inside if at least `(1 - level) (S + 1)` of its samples, rounded, are less likely than it: for S exact
    samples with that number whole, exactly `level` of the truths are, whatever S. Fewer are if the samples are too
    narrow, more if they are too wide or far off.

    Args:
        samples: logarithms of the exact densities of the samples of each truth, `(B, S)`.
        truths: those of the truths, `(B,)`.
        level: share of the samples in the region, in (0, 1).
    """
    needed = round((1 - level) * (samples.shape[1] + 1))
    return float(((samples < truths.unsqueeze(1)).sum(dim=1) >= needed).double().mean())


def _weighted(points: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    points, weights = points.flatten(1).double(), weights.double()
    mean = weights @ points
    return mean, torch.einsum("k, kd, ke -> de", weights, points - mean, points - mean)
