"""Is the distance at the posterior mean as good a guide as the distance expected over posterior samples?

Xu et al., "Consistency Models Improve Diffusion Inverse Solvers", 2024 (arXiv 2403.12063), section 3.1, say yes if the
operator is linear and no otherwise. Three gradients, with L the distance `|A(x_0) - y|` or the energy, its square over
`2 s^2`:

    at the mean    grad_{x_t} L(D(x_t)),    D(x_t) = E[x_0 | x_t]
    expected       grad_{x_t} E[L(x_0) | x_t]
    exact          -grad_{x_t} log p(y | x_t)

The paper's corollaries are about samples of `x_0 | x_t, y`. Those satisfy a noiseless measurement, and so does their
mean if the operator is linear. A solver that guides has only `x_0 | x_t`, and of that the following holds.

**Where the first two agree.** For a linear operator, with `C_t = Cov[x_0 | x_t]`,

    E[|A x_0 - y|^2 | x_t] = |A D(x_t) - y|^2 + tr(A C_t A^T).

Under a Gaussian prior `C_t` is the same for all `x_t`, so with the squared distance the two gradients are equal. Under
any other prior `C_t = sigma^2 grad D(x_t)` moves with `x_t`, and the gradient of the trace sets them apart. For the
distance itself, not squared, they differ even under a Gaussian: for one number whose residual is `N(m, v)` given `x_t`,
the expected one is `erf(|m| / sqrt(2 v))` times as long.

**Where they agree with the exact one.** Not even under a Gaussian, where the exact gradient weighs the residual with
`(A C_t A^T + s^2 I)^-1` and the energy with `1 / s^2`. The direction is the same if `A C_t A^T` is a multiple of I, as
for one number; then the energy's is too long by `(a C_t a^T + s^2) / s^2`.

**Measured** by `python -m studies.guidance_gradient`, cosines for the energy at sigma = 1:

    law, operator          mean : expected    mean : exact    expected : exact
    Gaussian, linear             1.00             0.94              0.94
    Gaussian, clipped            0.58             0.58              0.88
    Gaussian, magnitude          0.46             0.54              0.77
    mixture, linear              0.65             0.81              0.68
    mixture, clipped             0.52             0.52              0.91
    mixture, magnitude           0.48             0.46              0.85

- Linear: the paper's advice to use the mean holds, its reason only under a Gaussian. Under the mixture the two differ;
  by the energy the mean is the better one at sigma = 1, and at the other levels they are within 0.02 of each other. By
  the distance samples are as good there, and up to 0.07 better elsewhere.
- Clipped: samples are far better. Where the mean is saturated it has no gradient at all.
- Magnitude: the mean is nearly blind at high levels (at sigma = 16 cosines of 0.02 and 0.31, samples 0.65 and 0.81, by
  the energy), for it averages over both signs of `A x_0`.
- Lengths: the energy, at the mean or expected, pulls too hard: 3.9 times at sigma = 0.25 and 35 times at 16 for the
  Gaussian with a linear operator. The distance at the mean stays within 0.32 to 1.00 of the exact length there, so that
  one scale can serve all levels.
"""

from collections.abc import Callable, Sequence
from itertools import groupby, product
from operator import attrgetter
from typing import NamedTuple

import torch
from jsonargparse import auto_cli
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from dis_lightning.errors import InvalidValueError
from dis_lightning.gradients import gradient
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import Operator
from dis_lightning.operators.base import tensor
from dis_lightning.priors import Denoiser, ExactPrior
from dis_lightning.progress import counted
from dis_lightning.types import Measurement
from studies.clouds import Cloud, posterior_cloud
from studies.problems import Problem, small_problems

__all__ = [
    "Agreement",
    "Comparison",
    "Loss",
    "agreement",
    "compare",
    "exact_gradient",
    "expected_gradient",
    "gradient_at_mean",
    "print_comparisons",
]

LEVELS = (0.25, 1.0, 4.0, 16.0)
LEGEND = """Guidance gradients: mean cosine, median ratio of lengths.
mean: at D(x_t); expected: over samples of x_0 | x_t; exact: of -log p(y | x_t)."""

Loss = Callable[[Tensor], Tensor]
"""From images, `(N, *shape)`, to how far each is from the measurement, `(N,)`."""


class Agreement(NamedTuple):
    """How alike two guidance gradients are, over many draws."""

    cosine: float
    """Mean cosine of the angle between them; a gradient that vanishes counts as 0."""
    ratio: float
    """Median length of the first in units of the second."""


class Comparison(NamedTuple):
    """Three guidance gradients, compared at one noise level."""

    problem: str
    """Name of the problem."""
    loss: str
    """What the first two differentiate: distance or energy."""
    sigma: float
    """Noise level."""
    mean_to_expected: Agreement
    """At the posterior mean, against the expectation over posterior samples."""
    mean_to_exact: Agreement
    """At the posterior mean, against the exact one."""
    expected_to_exact: Agreement
    """The expectation over posterior samples, against the exact one."""


def gradient_at_mean(prior: Denoiser, x_t: Tensor, sigma: float, loss: Loss) -> Tensor:
    """What DPS follows: `grad_{x_t} L(D(x_t))`, for noisy images `(N, *shape)` at level `sigma`."""
    _, slope, _ = gradient(lambda x_t: (loss(prior(x_t, sigma)), x_t), x_t)
    return slope


def expected_gradient(cloud: Cloud, sigma: float, loss: Loss) -> Tensor:
    """The gradient of the expected loss, for one noisy image.

        grad_{x_t} E[L(x_0) | x_t] = Cov[x_0, L(x_0) | x_t] / sigma^2,

    because `grad_{x_t} log p(x_0 | x_t) = (x_0 - D(x_t)) / sigma^2`.

    Args:
        cloud: `p(x_0 | x_t)`.
        sigma: noise level of `x_t`, > 0.
        loss: what is expected.

    Returns:
        The gradient, `(1, *shape)`.
    """
    points, weights = cloud
    values = loss(points)
    centred = points - torch.einsum("j, j... -> ...", weights, points)
    slope = torch.einsum("j, j... -> ...", weights * (values - weights @ values), centred) / sigma**2
    return slope.unsqueeze(0)


def exact_gradient(prior: ExactPrior, operator: Operator, y: Tensor, x_t: Tensor, sigma: float) -> Tensor:
    """What guidance stands for, in closed form.

        -grad_{x_t} log p(y | x_t) = (E[x_0 | x_t] - E[x_0 | x_t, y]) / sigma^2

    Args:
        prior: law of the clean images.
        operator: what was measured, with its noise.
        y: one measurement, `(1, ...)`.
        x_t: noisy images, `(N, *shape)`.
        sigma: their noise level, > 0.

    Returns:
        The gradient, `(N, *shape)`.

    Raises:
        TypeError: if the operator is not linear and the prior is not finite.
        ValueError: if the density of the measurement does not exist.
    """
    difference: Tensor = prior(x_t, sigma) - prior.posterior(operator, y)(x_t, sigma)
    return difference / sigma**2


def agreement(first: Tensor, second: Tensor) -> Agreement:
    """Compare gradients, `(N, D)`, row by row; where both vanish there is no ratio, and the row is left out of it."""
    tiny = torch.finfo(first.dtype).tiny
    cosines = (F.normalize(first, eps=tiny) * F.normalize(second, eps=tiny)).sum(1)
    return Agreement(float(cosines.mean()), float((first.norm(dim=1) / second.norm(dim=1)).nanquantile(0.5)))


def compare(
    problems: Sequence[Problem] | None = None, sigmas: Sequence[float] = LEVELS, draws: int = 64, seed: int = 0
) -> list[Comparison]:
    """Compare the three gradients where a perfect sampler would meet them.

    Every draw is an image of the prior, its measurement, and the image under noise; so `x_t` is a draw of `p(x_t | y)`.

    Args:
        problems: what to compare on; `small_problems()` if not given. Their prior and operator must have a closed form.
        sigmas: noise levels, > 0.
        draws: number of draws.
        seed: chooses the draws.

    Returns:
        For each problem and level, a comparison for the distance and one for the energy.

    Raises:
        ValueError: if there is no draw, or a level is not positive.
    """
    if draws < 1:
        raise InvalidValueError(f"A comparison needs draws >= 1, but got {draws}.")
    table = []
    chosen = small_problems() if problems is None else problems
    for problem, sigma in counted(list(product(chosen, sigmas)), "Comparing gradients"):
        # (draws, losses, gradients, D)
        gradients = torch.stack([_gradients(problem, sigma, NoiseSource(seed, [draw])) for draw in range(draws)])
        for loss, (at_mean, expected, exact) in zip(("distance", "energy"), gradients.movedim(0, 2), strict=True):
            pairs = ((at_mean, expected), (at_mean, exact), (expected, exact))
            table.append(Comparison(problem.name, loss, sigma, *(agreement(*pair) for pair in pairs)))
    return table


def print_comparisons(comparisons: Sequence[Comparison]) -> None:
    """Show a table per problem: the cosine and the ratio of lengths for each pair of gradients."""
    console = Console()
    for problem, rows in groupby(comparisons, key=attrgetter("problem")):
        table = Table("loss", title=problem, title_justify="left", box=SIMPLE)
        for heading in ("sigma", "mean : expected", "mean : exact", "expected : exact"):
            table.add_column(heading, justify="right")
        for row in rows:
            pairs = (row.mean_to_expected, row.mean_to_exact, row.expected_to_exact)
            table.add_row(row.loss, f"{row.sigma:g}", *(f"{pair.cosine:.2f} {pair.ratio:8.3g}" for pair in pairs))
        console.print(table)
    console.print(LEGEND, markup=False, highlight=False)


def _gradients(problem: Problem, sigma: float, noise: NoiseSource) -> Tensor:
    """All gradients for one draw, `(losses, gradients, D)`."""
    prior, operator = problem.prior, problem.operator
    x_0 = prior.sample(noise)
    y = tensor(operator.measure(x_0, noise))
    x_t = x_0 + sigma * noise.like(x_0)
    cloud, exact = posterior_cloud(prior, x_t, sigma), exact_gradient(prior, operator, y, x_t, sigma)
    losses = [_against(measure, y) for measure in (operator.distance, operator.energy)]
    rows = [
        torch.cat([gradient_at_mean(prior, x_t, sigma, loss), expected_gradient(cloud, sigma, loss), exact])
        for loss in losses
    ]
    return torch.stack(rows).flatten(2)


def _against(measure: Callable[[Tensor, Measurement], Tensor], y: Tensor) -> Loss:
    return lambda x_0: measure(x_0, y.expand(len(x_0), *y.shape[1:]))


def guidance_gradient(draws: int = 64, seed: int = 0) -> None:
    """Compare guidance gradients at the posterior mean and expected over samples with the exact ones.

    Args:
        draws: number of images, their measurements and noisy versions, for each problem and level.
        seed: chooses them.
    """
    print_comparisons(compare(draws=draws, seed=seed))


if __name__ == "__main__":
    auto_cli(guidance_gradient, as_positional=False)
