"""The contract of every prior: a network, or a closed form, behind `(x_t, sigma) -> x_0`."""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from dis_lightning.described import Described
from dis_lightning.errors import InvalidValueError
from dis_lightning.types import per_row
from dis_lightning.weights import load_networks

__all__ = ["Denoiser", "Kind", "per_image", "require_kind", "require_levels"]

Kind = Literal["posterior mean", "consistency map"]
"""What an estimate of the clean image is: the mean over all images that `x_t` may come from, or one of them, the end of
the probability flow through `x_t`."""

_INSTEAD: dict[Kind, tuple[str, str]] = {
    "consistency map": ("a ConsistencyModel", " or, of a prior in closed form, its consistency_map()"),
    "posterior mean": ("an EDM", " or a prior in closed form"),
}
_ROOMS = {
    ("denoiser", "consistency map"): "rooms_consistency",
    ("denoiser", "posterior mean"): "rooms_edm",
    ("consistency", "consistency map"): "rooms_pair",
}
"""Where the project keeps the priors of rooms for each part of a run."""


class Denoiser(Described, nn.Module, ABC):
    """An estimate of the clean image: the posterior mean (EDM) or the consistency map.

    All scaling, casting, embedding of the noise level and clipping stay inside.

    Attributes:
        shape: shape of one image, `(C, H, W)`. Samplers start from noise of this shape.
        num_classes: number of classes of a class-conditional network, else None.
        kind: which of the two it is; None where that is not known, and then nothing is refused for it.
        sigma_range: the lowest and the highest noise level that it is right at: what a network was trained on, or all
            levels of a closed form. A network that is asked below does as at its lowest level: an image keeps the
            little noise that it has. See `require_levels`.
        sigma_min: of a consistency map, the level at which it is the identity, >= 0: where its images end.
    """

    sigma_range: tuple[float, float] = (0.0, math.inf)
    sigma_min: float = 0.002
    shape: tuple[int, ...]
    num_classes: int | None = None
    kind: ClassVar[Kind | None] = None

    @property
    def counted(self) -> "tuple[Denoiser, ...]":
        """What is evaluated where this one is, to count the cost: itself, unless it asks another one."""
        return (self,)

    @abstractmethod
    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        """Estimate the clean images.

        Args:
            x_t: noisy images `x_0 + sigma n`, `(N, *shape)`, in units of the data, whose range is [-1, 1].
            sigma: noise level, a float or one per image, `(N,)`; > 0.

        Returns:
            Estimates of the clean images, `(N, *shape)`.
        """

    def load(self, device: torch.device | str = "cpu") -> None:
        """Read weights that are not read yet, so that a missing file is found before any sampling.

        Args:
            device: where they are needed.
        """
        load_networks(self, device)

    def given(self, labels: Tensor) -> Self:
        """Bind class labels, `(N,)`, once for all evaluations.

        Raises:
            ValueError: if the network is not class-conditional.
        """
        raise InvalidValueError(f"{type(self).__name__} is not class-conditional and takes no labels, but got some.")


def require_kind(owner: object, part: str, prior: Denoiser, kind: Kind) -> None:
    """Refuse a prior that is known to be of the other kind: its results would look ordinary.

    Args:
        owner: who needs it.
        part: what the owner calls it.
        prior: what came.
        kind: what it must be, if it says.

    Raises:
        ValueError: if it is of the other kind.
    """
    if prior.kind not in (None, kind):
        network, other = _INSTEAD[kind]
        rooms = _ROOMS.get((part, kind))
        file = f" (of rooms: --config configs/priors/{rooms}.yaml)" if rooms else ""
        raise InvalidValueError(
            f"{type(owner).__name__} needs a {kind} as `{part}`, but {type(prior).__name__} gives a {prior.kind}, with "
            f"which results would look ordinary and be wrong. Give {network}{file}{other}."
        )


def require_levels(owner: object, prior: Denoiser, levels: Sequence[float]) -> None:
    """Compare noise levels with those that a prior knows, before anything is sampled.

    Above its highest level a network is told too little noise, and what it gives is multiplied by the level: such a
    sampler starts from garbage, and is refused. Below its lowest level it takes a little noise for a little more, which
    costs little: that is warned of.

    Args:
        owner: who walks down the levels.
        prior: what is asked at them.
        levels: the noise levels; a last 0 is not asked at.

    Raises:
        ValueError: if a level is above those that the prior knows.
    """
    low, high = prior.sigma_range
    asked = [level for level in levels if level > 0]
    # Levels are computed in more than one way: a relative 1e-3 is none that anybody means.
    knows = f"{type(prior).__name__} was trained on {low:.4g} to {high:.4g}"
    if max(asked) > high * 1.001:
        raise InvalidValueError(
            f"The levels of {type(owner).__name__} start at {max(asked):.4g}, but {knows}: above, it would make "
            f"garbage of the noise. Write sigma_max {high:.4g} or less (--model.levels.sigma_max), or take VPLevels."
        )
    if below := [level for level in asked if level < low / 1.001]:
        warnings.warn(
            f"{len(below)} of the {len(asked)} levels of {type(owner).__name__} are below what its prior knows: "
            f"{knows}. There it does as at {low:.4g}, and these steps add little; write sigma_min {low:.4g} "
            "(--model.levels.sigma_min) to save them, or take VPLevels.",
            stacklevel=4,
        )


def per_image(sigma: float | Tensor, x_t: Tensor) -> float | Tensor:
    """Shape noise levels so that they multiply images: `(N,)` becomes `(N, 1, ..., 1)`, a float stays."""
    if isinstance(sigma, float | int):
        return float(sigma)
    return per_row(sigma.to(x_t), x_t)
