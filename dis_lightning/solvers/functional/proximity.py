"""The clean image between an estimate of it and the measurement, without any network of the prior.

What is known of the clean image is an estimate with a spread, and what was measured:

    U(x) = |x - x_0|^2 / (2 r^2) + cost(x),    cost(x) = w E(x) with E = -log p(y | x), or another misfit

Plug-and-play methods look for the minimum of U, decoupled annealing draws from `exp(-U)`. For a linear measurement both
are known in closed form (`LinearOperator.proximal`); for others U is descended, or a chain walks on it.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from dis_lightning.gradients import gradient
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import GaussianOperator, LinearOperator, Operator, tensor
from dis_lightning.operators.inpainting import Inpainting
from dis_lightning.types import Measurement, dot, per_row

__all__ = ["descend", "first_guess", "misfit", "near", "reach"]


def misfit(operator: Operator, x_0: Tensor, y: Measurement) -> Tensor:
    """`|A(x_0) - y|^2 / 2` per image, which needs no noise; of other than Gaussian measurements the energy.

    Returns:
        `(N,)`.
    """
    if not isinstance(operator, GaussianOperator):
        return operator.energy(x_0, y)
    return operator.residual(x_0, y).flatten(1).square().sum(dim=1) / 2


def near(cost: Callable[[Tensor], Tensor], centre: Tensor, spread: float) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """U, and x beside it, as `gradient` and `differentiate` take it.

    Args:
        cost: what the measurement adds, `(N,)` for images `(N, *shape)`.
        centre: the estimates `x_0`, `(N, *shape)`.
        spread: r, > 0.
    """

    def value(x: Tensor) -> tuple[Tensor, Tensor]:
        return cost(x) + (x - centre).flatten(1).square().sum(dim=1) / (2 * spread**2), x

    return value


def reach(operator: Operator, spread: float, weight: float = 1.0) -> float:
    """A length within which U changes by about 1: the root of a step that descends it without overshooting.

        p = (1 / r^2 + w / noise_std^2)^(-1/2)

    The largest curvature of U is `1 / p^2` where A stretches no image, as blurs, masks and means do; a stronger A needs
    smaller steps. Measurements that are not Gaussian have no scale of their own: r.

    Args:
        operator: what is measured.
        spread: r, > 0.
        weight: w, > 0.
    """
    if not isinstance(operator, GaussianOperator):
        return spread
    narrow = operator.noise_std / math.sqrt(weight)
    return spread * narrow / math.hypot(spread, narrow)


def descend(value: Callable[[Tensor], tuple[Tensor, Tensor]], start: Tensor, step: float, trials: int) -> Tensor:
    """Go down a value of each image along its gradient g.

    A row takes a step if its value falls by a quarter of `step |g|^2` at least, which no step does that overshoots the
    lowest point by more than half. Else it stays, and its steps are from there on as long as to the lowest point of the
    parabola through what is known, or half as long where that is shorter.

    Args:
        value: as `gradient` takes it.
        start: `(N, *shape)`.
        step: the length of the first step per length of the gradient, > 0.
        trials: number of steps, of which some may not be taken, >= 1; each costs one gradient, as the start does.
    """
    x, steps = start, torch.full((len(start),), step, dtype=start.dtype, device=start.device)
    u, slope, _ = gradient(value, x)
    for _ in range(trials):
        x_next = x - per_row(steps, x) * slope
        u_next, slope_next, _ = gradient(value, x_next)
        fall = steps * dot(slope, slope)
        # Where there is nothing left to fall, rounding decides nothing; what is not finite is shown.
        taken = (u_next <= u - fall / 4 + torch.finfo(u.dtype).eps * u.abs()) | u.isnan()
        shorter = steps * torch.where(u_next.isfinite(), fall / (2 * (u_next - u + fall)), 0.5).clamp(max=0.5)
        x, slope = (torch.where(per_row(taken, x), *pair) for pair in ((x_next, x), (slope_next, slope)))
        u, steps = torch.where(taken, u_next, u), torch.where(taken, steps, shorter)
    return x


def first_guess(
    operator: Operator, y: Measurement, shape: tuple[int, ...], noise: NoiseSource, damping: float = 0.0
) -> Tensor:
    """Clean images to begin with, as far as the measurement alone tells: `(N, *shape)`.

    Of a linear measurement `pseudo_inverse(y)`, hidden pixels at the median of their neighbours (Garber and Tirer,
    CM4IR, 2025); a measurement that is itself such an image; of any other standard normal noise.

    Args:
        operator: what is measured.
        y: the measurement, one entry per row.
        shape: shape of one image.
        noise: one stream per row.
        damping: of the pseudo-inverse, >= 0.

    Raises:
        ValueError: if `y` has another shape than a measurement of such images.
    """
    blank = torch.zeros(len(noise), *shape, device=noise.device)
    if isinstance(operator, LinearOperator):
        guess = operator.pseudo_inverse(-operator.residual(blank, y), damping)
        return _filled(guess, _seen(operator, tensor(y))) if isinstance(operator, Inpainting) else guess
    if isinstance(operator, GaussianOperator):
        operator.residual(blank, y)  # which refuses what is no measurement of such images
        _, measured = operator.compare(blank, y)
        if measured.shape == blank.shape:
            return measured
    return noise.like(blank)


def _seen(operator: Inpainting, y: Tensor) -> Tensor:
    seen = ~y.isnan() if operator.per_image else operator.mask(y) > 0
    return seen.expand_as(y)


def _filled(x: Tensor, seen: Tensor) -> Tensor:
    """Fill what was not seen with the median of the square around it: of 5 pixels, where none is seen of 7, and so on.

    What was filled before counts as seen. Images of which nothing was seen, or that are not finite, stay as they are.
    """
    whole = (x.isfinite() | ~seen).flatten(1).all(dim=1) & seen.flatten(1).any(dim=1)
    hidden = ~seen & whole.reshape(-1, 1, 1, 1)
    known, radius = x.masked_fill(hidden, torch.nan), 2
    while bool(hidden.any()):
        padded = F.pad(known, (radius,) * 4, value=torch.nan)
        around = padded.unfold(2, 2 * radius + 1, 1).unfold(3, 2 * radius + 1, 1)
        known = known.masked_scatter(hidden, _median(around[hidden].flatten(1)))
        hidden, radius = hidden & known.isnan(), radius + 1
    return known


def _median(rows: Tensor) -> Tensor:
    """The lower median of each row, `(N,)`, NaN left out where there is more.

    As `nanmedian`, whose kernel on a GPU PyTorch refuses where the same bits are asked for each time.
    """
    ordered = rows.sort(dim=1).values  # NaN last
    middle = ((~rows.isnan()).sum(dim=1, keepdim=True) - 1).clamp(min=0) // 2
    found: Tensor = ordered.gather(1, middle).squeeze(1)
    return found
