"""Calibration: many images of a Gaussian law, a few posterior samples of each.

Zach, Haouchat, Unser, ICLR 2026, judge a sampler of random walks by how often the true signal is in the region of
highest posterior density that holds 90 % of its samples, and by how much worse its mean is than the exact one. Under a
Gaussian prior and a linear measurement both are known exactly, and so is the law of `x_0 - E[x_0 | y]`: it is the same
for all measurements, so that the samples of all images together show its error.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from dis_lightning.noise import NoiseSource
from dis_lightning.priors import Denoiser, GaussianPrior
from studies.problems import EXACT_SAMPLES
from studies.scores import density_coverage, log_density, moments, sliced_wasserstein
from studies.trials import UNKNOWN, Score, Trial

__all__ = ["Calibration"]

GROUPS = 10
"""Groups of images that are left out in turn."""


@dataclass(frozen=True)
class Calibration(Trial):
    """Many images of a Gaussian prior with a linear measurement, a few samples of each."""

    columns: ClassVar[tuple[str, ...]] = ("SW", "gap dB", "cover")

    @cached_property
    def spread(self) -> GaussianPrior:
        """The law of `x - E[x_0 | y]`, the same for every measurement."""
        p = self.problem
        mean, covariance = moments(p.prior.posterior(p.operator, p.y[:1]))
        return GaussianPrior(torch.zeros_like(mean, dtype=p.y.dtype), covariance)

    @cached_property
    def means(self) -> Tensor:
        """Posterior means, `(B, D)`, in float64."""
        p = self.problem
        return torch.stack([moments(p.prior.posterior(p.operator, y.unsqueeze(0)))[0] for y in p.y])

    @property
    def oracle(self) -> Denoiser:
        """The denoiser of the spread, around each row's own mean."""
        return _Around(self.spread, self.means.repeat_interleave(self.num_samples, dim=0))

    def exact(self) -> Tensor:
        """See `Trial.exact`."""
        noise = NoiseSource(EXACT_SAMPLES, range(len(self.problem.y)))
        around = self.spread.sample(noise.samples(self.num_samples))
        return self.means.unsqueeze(1) + torch.unflatten(around, 0, (-1, self.num_samples))

    def scores(self, samples: Tensor) -> tuple[Score, ...]:
        """Distance, optimality gap of the mean, and coverage, with their errors by a jackknife; see `Trial.scores`.

        What is left when a group of images is left out varies by less than what is wanted by the number of groups less
        one (Efron and Stein, "The Jackknife Estimate of Variance", 1981).
        """
        if not samples.isfinite().all():
            return (UNKNOWN,) * len(self.columns)
        images = torch.arange(len(samples))
        groups = min(GROUPS, len(samples))
        left = torch.tensor([self._judge(samples, images[images % groups != group]) for group in range(groups)])
        errors = (left.var(dim=0, correction=0) * (groups - 1)).sqrt()
        return tuple(Score(*score) for score in zip(self._judge(samples, images), errors.tolist(), strict=True))

    def _judge(self, samples: Tensor, images: Tensor) -> tuple[float, ...]:
        samples, truth, means = samples[images], self.problem.truth[images], self.means[images]
        errors, ideal = (estimate - truth for estimate in (samples.double().mean(1), means))
        gap = 10 * math.log10(errors.square().sum() / ideal.square().sum())
        around = samples - means.unsqueeze(1)
        noise = NoiseSource(EXACT_SAMPLES + 1, [0]).samples(around[..., 0].numel())
        distance = sliced_wasserstein(around.flatten(0, 1).float(), self.spread.sample(noise))
        return distance, gap, density_coverage(self._log_density(around), self._log_density(truth - means))

    def _log_density(self, x: Tensor) -> Tensor:
        return log_density(self.spread, x.flatten(0, -2)).reshape(x.shape[:-1])


class _Around(Denoiser):
    """A prior that is moved, row by row: `E[x_0 | x_t] = m + D(x_t - m)`."""

    def __init__(self, prior: GaussianPrior, means: Tensor) -> None:
        super().__init__()
        self.shape = prior.shape
        self.prior = prior
        self.means = means

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        """See `Denoiser.forward`."""
        means = self.means.to(x_t)
        return torch.add(means, self.prior(x_t - means, sigma))
