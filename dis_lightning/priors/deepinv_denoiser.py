"""Any denoiser of DeepInverse as a prior.

Tachella et al., "DeepInverse: A Python package for solving imaging inverse problems with deep learning", JOSS 2025,
https://deepinv.github.io. Its images are in [0, 1] and ours in [-1, 1], so with `u = (x + 1) / 2`

    D(x_t, sigma) = 2 R((x_t + 1) / 2, sigma / 2) - 1
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from dis_lightning.deepinv_parts import deepinv_part
from dis_lightning.errors import InvalidValueError, require_numbers
from dis_lightning.priors.base import Denoiser, Kind
from dis_lightning.priors.clipping import Clip, clipped, require_clip

__all__ = ["DeepInvDenoiser"]


class DeepInvDenoiser(Denoiser):
    """A denoiser of DeepInverse.

    Args:
        denoiser: a `deepinv.models.Denoiser`; or its name, such as `DRUNet`, and it is built here (a configuration
            cannot hold the object).
        shape: shape of one image, `(C, H, W)`, which the denoiser itself need not know.
        arguments: what a denoiser that is named is built from, such as `pretrained`, a file of weights.
        sigma_range: the noise levels that it was trained on, in units of images in [-1, 1]: twice those in [0, 1].
        clip: whether to clamp the estimates to [-1, 1]. Pixels that are clamped pass no gradient; with
            "straight-through" they pass it as if they were not.

    Raises:
        ModuleNotFoundError: if DeepInverse is not installed.
        TypeError: if it is no denoiser, or cannot be built from the arguments.
        ValueError: if `shape` or `sigma_range` is out of range.
    """

    kind: ClassVar[Kind] = "posterior mean"

    def __init__(
        self,
        denoiser: str | nn.Module,
        shape: Sequence[int],
        arguments: dict[str, Any] | None = None,
        sigma_range: tuple[float, float] = (0.0, math.inf),
        clip: Clip = False,
    ) -> None:
        super().__init__()
        self.network = deepinv_part(denoiser, arguments, "models", "Denoiser", "--denoiser.arguments")
        self.network.requires_grad_(False).eval()
        for name, values in {"shape": shape, "sigma_range": sigma_range}.items():
            for value in values:
                require_numbers(self, **{name: value})
        low, high = sigma_range
        if len(shape) != 3 or min(shape) < 1 or not 0 <= low < high:
            raise InvalidValueError(
                "DeepInvDenoiser needs the shape (C, H, W) of an image and 0 <= lowest < highest sigma_range, but got "
                f"shape={tuple(shape)} and sigma_range={tuple(sigma_range)}."
            )
        self.shape = tuple(int(value) for value in shape)
        self.sigma_range = (float(low), float(high))
        require_clip(self, clip)
        self.clip = clip

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        """Estimate the clean images; see `Denoiser`."""
        weights = next(self.network.parameters(), x_t)  # whose precision the network computes in
        level = sigma.to(weights.dtype) / 2 if isinstance(sigma, Tensor) else sigma / 2
        estimate: Tensor = self.network(((x_t + 1) / 2).to(weights.dtype), level)
        x_0 = 2 * estimate.to(x_t.dtype) - 1
        return clipped(x_0, self.clip)
