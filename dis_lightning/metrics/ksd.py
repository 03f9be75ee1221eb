"""Whether samples are draws of the posterior, judged by its score alone: nobody need know the clean image."""

import math
import warnings
from typing import Any, ClassVar

import torch
from torch import Tensor

from dis_lightning.described import description
from dis_lightning.errors import InvalidValueError, require_positive
from dis_lightning.gradients import gradient
from dis_lightning.metrics.base import Direction, ImageMetric, Value, caution_of_chains
from dis_lightning.metrics.functional.stein import stein_discrepancy
from dis_lightning.metrics.judges import ready
from dis_lightning.metrics.per_sample import sample_rows
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import require_density
from dis_lightning.priors.base import Denoiser, require_kind
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Measurement, Reconstruction, repeat

__all__ = ["KernelSteinDiscrepancy"]


class KernelSteinDiscrepancy(ImageMetric):
    """Squared kernel Stein discrepancy between samples and posterior, `ksd`.

    Noise of level `sigma` is added to the samples, and with it the posterior has the score

        s(x) = (D(x, sigma) - x) / sigma^2 - grad_x energy(D(x, sigma), y)

    where the second term stands for `grad log p(y | x)`, which it tends to as `sigma` falls below the noise of the
    measurement. About 0 for draws of the posterior, above 0 for others: too wide, too narrow, or elsewhere; but how the
    samples are shared between modes far apart no score can tell. See `metrics.functional.stein`. An evaluation and a
    gradient of the prior per sample, which are not among the run's costs. Images are compared under one prior and one
    measurement: values of different problems are of different size.

    Samples that diverged are left out; NaN for fewer than two; nothing is reported where images have one sample.

    Args:
        sigma: noise level at which the score is asked, > 0; above the rounding to 8 bit (0.0023).
        length: length of the kernel per value of an image, > 0: of the size of the posterior's standard deviation, or
            below.
        prior: the posterior mean that gives the score; by default the run's own denoiser.

    Raises:
        ValueError: if a number is not positive; at the start of a run, if the prior is no posterior mean or the
            measurement has no density.
    """

    section: ClassVar[str] = "posterior"
    values: ClassVar[dict[str, Value]] = {"ksd": Value("KSD²", Direction.LOWER)}

    def __init__(self, sigma: float = 0.05, length: float = 0.05, prior: Denoiser | None = None) -> None:
        super().__init__()
        require_positive(self, sigma=sigma, length=length)
        self.sigma = sigma
        self.length = length
        self.prior = prior
        self._caution: dict[str, str] = {}

    @property
    def needs_prior(self) -> bool:  # type: ignore[override] # of others it is known by the class
        """See `Metric`."""
        return self.prior is None

    @property
    def key(self) -> str:
        """See `Metric.key`."""
        return "ksd"

    def prepare(self, solver: Solver, device: torch.device) -> None:
        """See `Metric.prepare`."""
        prior = self._prior(solver)
        require_kind(self, "prior" if self.prior else "denoiser", prior, "posterior mean")
        if prior.shape != solver.denoiser.shape:
            raise InvalidValueError(
                f"KernelSteinDiscrepancy needs a prior of the run's images {tuple(solver.denoiser.shape)}, but got one "
                f"of {tuple(prior.shape)}."
            )
        require_density(self, solver.operator)
        if solver.num_samples < 2:
            warnings.warn(
                "KernelSteinDiscrepancy compares an image's samples with each other, and reports nothing of one; draw "
                "two or more (--model.num_samples).",
                stacklevel=2,
            )
        prior.to(device).requires_grad_(False).eval()
        prior.load(device)
        ready(solver.operator, solver, device)
        self._caution = caution_of_chains(solver)

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        number = reconstruction.draws.samples.shape[1]
        if number < 2:
            return {}
        noise = NoiseSource(0, reconstruction.indices, reconstruction.device, use="ksd").samples(number)
        x = sample_rows(reconstruction)
        x = x + self.sigma * noise.like(x)
        prior = self._prior(solver)
        if prior.num_classes is not None:
            assert reconstruction.labels is not None  # or nothing could have been sampled
            prior = prior.given(reconstruction.labels.repeat_interleave(number))
        # As the run did: sample by sample of an image, so that a pass is no larger than one of the run.
        scores = self._scores(x, repeat(reconstruction.measurement, number), prior, solver)
        shape = (-1, number, *x.shape[1:])
        kept = ~reconstruction.draws.diverged
        length = self.length * math.sqrt(2 * x[0].numel())
        rows = zip(x.reshape(shape).cpu(), scores.reshape(shape).cpu(), kept, strict=True)
        values = [
            stein_discrepancy(drawn[some], score[some], length) if int(some.sum()) > 1 else torch.tensor(torch.nan)
            for drawn, score, some in rows
        ]
        return {"ksd": torch.stack(values).double()}

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        what = "squared kernel Stein discrepancy of the samples, with noise added, from the posterior; unbiased"
        prior = "the run's own denoiser" if self.prior is None else description(self.prior)
        return {"what": what, "sigma": self.sigma, "length": self.length, "score": prior, **self._caution}

    def _prior(self, solver: Solver) -> Denoiser:
        return solver.denoiser if self.prior is None else self.prior

    def _scores(self, x: Tensor, y: Measurement, prior: Denoiser, solver: Solver) -> Tensor:
        def value(x: Tensor) -> tuple[Tensor, Tensor]:
            x_0 = prior(x, self.sigma)
            return solver.operator.energy(x_0, y), x_0

        _, slope, x_0 = gradient(value, x)
        return (x_0 - x) / self.sigma**2 - slope
