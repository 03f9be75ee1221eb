"""The contract of every prior: a network, or a closed form, behind `(x_t, sigma) -> x_0`."""

from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor, nn

from dis_lightning.described import Described
from dis_lightning.errors import InvalidValueError

__all__ = ["Denoiser", "per_image"]


class Denoiser(Described, nn.Module, ABC):
    """An estimate of the clean image: the posterior mean (EDM) or the consistency map.

    All scaling, casting, embedding of the noise level and clipping stay inside.

    Attributes:
        shape: shape of one image, `(C, H, W)`. Samplers start from noise of this shape.
        num_classes: number of classes of a class-conditional network, else None.
    """

    shape: tuple[int, ...]
    num_classes: int | None = None

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
        """Read weights that are not read yet, so that a missing file is found before any sampling."""

    def given(self, labels: Tensor) -> Self:
        """Bind class labels, `(N,)`, once for all evaluations.

        Raises:
            ValueError: if the network is not class-conditional.
        """
        raise InvalidValueError(f"{type(self).__name__} is not class-conditional and takes no labels, but got some.")


def per_image(sigma: float | Tensor, x_t: Tensor) -> float | Tensor:
    """Shape noise levels so that they multiply images: `(N,)` becomes `(N, 1, ..., 1)`, a float stays."""
    if isinstance(sigma, float | int):
        return float(sigma)
    return sigma.to(x_t).reshape(-1, *[1] * (x_t.ndim - 1))
