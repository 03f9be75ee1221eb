"""One's own operators, priors and solvers, tried on made-up images before anything is sampled.

What ships with the package keeps its promises by its tests. A class that somebody has just written may give another
shape than it should, which would be broadcast, or numbers that depend on the batch; samples would then look ordinary.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Self

import torch
from torch import Tensor

from dis_lightning.errors import InvalidTypeError, InvalidValueError
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import GaussianOperator, LinearOperator, Operator
from dis_lightning.priors.base import Denoiser, per_image
from dis_lightning.types import Measurement, State, per_row

__all__ = ["StandIn", "is_own", "rehearse", "rehearse_solver"]

ROUNDING = 1e-3
"""Relative difference of results that are the same but for the order of sums, in float32."""
HALF_ROUNDING = 0.05
"""That of networks, which may compute in 16 bits, or in the 19 that a GPU takes for float32 in convolutions."""
WALK_ROUNDING = 0.01
"""That of a whole sampling loop, which may let rounding grow."""
LITTLE = 0.02
"""A level below which an estimate of the clean image hardly differs from the noisy one."""
SECONDS = 3.0
"""How long a loop is walked at most, each time."""


@torch.inference_mode(False)
@torch.no_grad()
def rehearse(operator: Operator, denoiser: Denoiser, device: torch.device | str = "cpu") -> None:
    """Try the parts of a run that come with no package; their networks must have been read.

    Args:
        operator: what will be measured.
        denoiser: the prior.
        device: where both are.

    Raises:
        TypeError: if one gives something of another type than it should.
        ValueError: if it gives another shape, numbers that are not finite, others for the same images each time, or
            others in another batch; or if an adjoint is none.
    """
    x = _pictures(_noise([0, 1], device), denoiser.shape)
    if is_own(operator):
        _try_operator(operator, x)
    if is_own(denoiser):
        level = min(max(1.0, denoiser.sigma_range[0]), denoiser.sigma_range[1])
        name = f"{type(denoiser).__name__}.forward"
        labels = None if denoiser.num_classes is None else torch.zeros(2, dtype=torch.int64, device=device)
        prior = denoiser if labels is None else denoiser.given(labels)
        given = x.clone()
        x_0 = _numbers(name, prior(given, level), x)
        _require_untouched(name, given, x)
        if x_0.shape != x.shape:
            raise InvalidValueError(
                f"{name} must give estimates of the shape of the images, {tuple(x.shape)}, but gave {tuple(x_0.shape)}."
            )
        _require_repeatable(name, x_0, prior(x.clone(), level))
        alone = denoiser if labels is None else denoiser.given(labels[1:])
        _require_independent(name, x_0, alone(x[1:].clone(), level), HALF_ROUNDING)
        _warn_of_noise(name, x, prior)


class StandIn(Denoiser):
    """A prior in closed form in place of another: pixels that are standard normal, each by itself.

    With it a solver's loop costs next to nothing and rounds as float32 does, whatever the network is.

    Args:
        prior: whose place it takes.
        gain: what its estimates are multiplied by.
    """

    def __init__(self, prior: Denoiser, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain
        self.shape, self.sigma_range, self.sigma_min = prior.shape, prior.sigma_range, prior.sigma_min
        self.kind = prior.kind  # type: ignore[misc] # of one class for both kinds

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        """See `Denoiser.forward`."""
        s = per_image(sigma, x_t)
        if self.kind == "consistency map":
            return self.gain * x_t * ((1 + self.sigma_min**2) / (1 + s**2)) ** 0.5
        return self.gain * x_t / (1 + s**2)

    def given(self, labels: Tensor) -> Self:
        """The same for every class; see `Denoiser.given`."""
        return self


Walk = Callable[[Measurement, NoiseSource], Iterator[State]]
"""A solver's loop for measurements of some images and their streams."""


@torch.inference_mode(False)
@torch.no_grad()
def rehearse_solver(
    name: str, walk: Walk, again: Walk, operator: Operator, shape: tuple[int, ...], device: torch.device | str = "cpu"
) -> None:
    """Try a solver that comes with no package, for a few seconds; the networks of the operator must have been read.

    An image is sampled beside another image, beside a third, and alone. The first two must be equal, for nothing else
    differs. A loop that decides, as with particles, may let the last bits of another batch size grow: the third is
    compared only where a fourth, with a prior that is off by as little, stays close to it.

    Args:
        name: what the user calls it.
        walk: the solver's loop, with stand-ins for its networks.
        again: the same with stand-ins that differ by rounding.
        operator: what is measured.
        shape: shape of an image.
        device: where both are.

    Raises:
        ValueError: if a sample depends on the other images of its batch, or is drawn from elsewhere than its stream.
    """
    try:
        noise = _noise([0, 1, 2], device)
        y = operator.measure(_pictures(noise, shape), noise)
        steps, (_, beside) = _walked(walk, y, [0, 1], device)
        _, (_, other) = _walked(walk, y, [2, 1], device, steps)
        _, (alone,) = _walked(walk, y, [1], device, steps)
        _, (rounded,) = _walked(again, y, [1], device, steps)
        known = all(bool(each.isfinite().all()) for each in (beside, other, alone, rounded))
    except Exception:  # It may ask more of its prior than a stand-in has; what is a fault, the run itself will meet.
        return
    if known and (
        _off(other, beside) > WALK_ROUNDING
        or (_off(alone, beside) > WALK_ROUNDING and _off(rounded, alone) < WALK_ROUNDING / 10)
    ):
        raise InvalidValueError(
            f"{name} gave an image another result beside another image, or alone: samples would depend on the batch. "
            "Let it treat each row by itself and draw from its `noise` alone."
        )


def _walked(
    walk: Walk, y: Measurement, indices: list[int], device: torch.device | str, steps: int | None = None
) -> tuple[int, Tensor]:
    """Take some steps, or as many as some seconds allow; give their number and the rows of each image after them."""
    begin, number = time.monotonic(), 0
    seen = y[indices] if isinstance(y, Tensor) else [y[index] for index in indices]
    for state in islice(walk(seen, _noise(indices, device)), steps):
        number, last = number + 1, state.x_t
        if steps is None and time.monotonic() - begin > SECONDS:
            break
    return number, last.unflatten(0, (len(indices), -1)).double().cpu()


def _off(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


def _try_operator(operator: Operator, x: Tensor) -> None:
    name = f"{type(operator).__name__}.forward"
    given, rounding = x.clone(), HALF_ROUNDING if x.is_cuda else ROUNDING
    if isinstance(operator, GaussianOperator):
        y = _numbers(name, operator(given), x)
        _require_untouched(name, given, x)
        if y.ndim < 2:
            raise InvalidValueError(f"{name} must give a row of numbers for each image, such as (B, 1), but gave (B,).")
        _require_repeatable(name, y, operator(x.clone()))
        _require_independent(name, y, operator(x[1:].clone()), rounding)
        if isinstance(operator, LinearOperator):
            _try_adjoint(operator, x, y)
    name = f"{type(operator).__name__}.measure"
    measured = _measured(name, operator.measure(x.clone(), _noise([0, 1], x.device)), x)
    _require_repeatable(name, measured, operator.measure(x.clone(), _noise([0, 1], x.device)))
    _require_independent(name, measured, operator.measure(x[1:].clone(), _noise([1], x.device)), rounding)


def _try_adjoint(operator: LinearOperator, x: Tensor, y: Tensor) -> None:
    name = f"{type(operator).__name__}.adjoint"
    v = _noise([0, 1], x.device).normal(y.shape)
    back = _numbers(name, operator.adjoint(v), x)
    if back.shape != x.shape:
        raise InvalidValueError(f"{name} must give images {tuple(x.shape)}, but gave {tuple(back.shape)}.")
    there, here = float((y * v).sum()), float((x * back).sum())
    if abs(there - here) > ROUNDING * float(y.norm() * v.norm() + x.norm() * back.norm()):
        raise InvalidValueError(
            f"{name} is not that of forward: for the same x and y, <A x, y> is {there:.4g} and <x, A^T y> {here:.4g}."
        )


def is_own(part: object) -> bool:
    """Whether a part of a run is not of this package, whose promises its tests keep."""
    return not type(part).__module__.startswith("dis_lightning.")


def _noise(indices: list[int], device: torch.device | str) -> NoiseSource:
    return NoiseSource(0, indices, device, use="rehearsal")


def _pictures(noise: NoiseSource, shape: tuple[int, ...]) -> Tensor:
    """Images of up to three kinds, unlike in contrast and brightness: what is divided by a batch's own is seen."""
    x = noise.normal((len(noise), *shape)).clamp(-1, 1)
    kinds = x.new_tensor([[1.0, 0.0], [0.3, 0.4], [0.6, -0.2]])[: len(x)]
    contrast, brightness = (per_row(kind, x) for kind in kinds.unbind(1))
    return contrast * x + brightness


def _warn_of_noise(name: str, x: Tensor, prior: Denoiser) -> None:
    """Warn of what may give the noise in place of the image: the likeliest slip where a network is ported."""
    sigma = max(LITTLE / 10, prior.sigma_range[0])
    if sigma > LITTLE or x[0].numel() < 16:
        return
    try:
        x_0 = prior(x.clone(), sigma)
    except Exception:  # It may know no such level; the run asks at its own.
        return
    found, given = (each.flatten(1) - each.flatten(1).mean(dim=1, keepdim=True) for each in (x_0, x))
    change = float(((found - given).norm(dim=1) / given.norm(dim=1)).mean())
    if not change < 0.52:  # what halves its input is still a prior; and NaN is not
        warnings.warn(
            f"{name} changes its input by {change:.0%} of its contrast at sigma={sigma:g}, where the clean image "
            "hardly differs from the noisy one. If it gives the noise, let it return x_t - sigma * noise; if its prior "
            "has no such images as were tried, all is well.",
            stacklevel=3,
        )


def _measured(name: str, y: Measurement, x: Tensor) -> Measurement:
    if isinstance(y, list) and len(y) == len(x) and all(isinstance(text, str) for text in y):
        return y
    return _numbers(name, y, x, any_kind=True)


def _numbers(name: str, values: object, x: Tensor, *, any_kind: bool = False) -> Tensor:
    """Refuse what is no tensor of finite float numbers, or of numbers of `any_kind`, with a row for each image."""
    kind = "numbers" if any_kind else "float numbers"
    if not isinstance(values, Tensor):
        texts = " or a list of B texts" if any_kind else ""
        came = type(values).__name__
        raise InvalidTypeError(f"{name} must give a tensor of {kind}, (B, ...){texts}, but gave a {came}.")
    if not (any_kind or values.is_floating_point()) or values.ndim == 0 or len(values) != len(x) or values.numel() == 0:
        raise InvalidValueError(
            f"{name} must give a tensor of {kind} with a row for each image, but gave {tuple(values.shape)} of "
            f"{values.dtype} for {len(x)} images."
        )
    if not values.isfinite().all():
        raise InvalidValueError(f"{name} gave numbers that are not finite for images in [-1, 1].")
    return values


def _require_untouched(name: str, given: Tensor, x: Tensor) -> None:
    if not torch.equal(given, x):
        raise InvalidValueError(f"{name} changes its images in place; let it work on a copy.")


def _require_repeatable(name: str, first: Measurement, second: Measurement) -> None:
    same = torch.equal(first, second) if isinstance(first, Tensor) and isinstance(second, Tensor) else first == second
    if not same:
        raise InvalidValueError(
            f"{name} gave two results for the same images: samples would differ each time. Draw what is random from "
            "the `noise` that measure is given, or fix it in the constructor."
        )


def _require_independent(name: str, together: Measurement, alone: Measurement, rounding: float = ROUNDING) -> None:
    second = together[1:]
    if isinstance(second, Tensor) and isinstance(alone, Tensor):
        second, alone = (y.cpu().to(torch.complex128) for y in (second, alone))  # which holds numbers of any kind
        same = second.shape == alone.shape and float((second - alone).norm()) <= rounding * float(second.norm())
    else:
        same = second == alone
    if not same:
        raise InvalidValueError(
            f"{name} gave an image another result beside another image than alone: samples would depend on the size of "
            "the batch. Let it treat each row by itself."
        )
