"""Colourisation: `y` is the brightness of each pixel.

    A x_0 = w . x_0,    A^T y = w y,    A A^T = |w|^2,    A^+ y = w y / |w|^2,    w = (0.2989, 0.5870, 0.1140)

with the weights of ITU-R BT.601 for red, green and blue, as in Song et al., "Consistency Models", 2023, appendix D.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from dis_lightning.errors import InvalidValueError
from dis_lightning.operators.base import LinearOperator, tensor
from dis_lightning.operators.spectrum import Decomposition
from dis_lightning.types import Measurement

__all__ = ["Colorization"]


class Colorization(LinearOperator):
    """A grey image of a coloured one.

    Args:
        noise_std: standard deviation of the noise on `y`.

    Raises:
        ValueError: when measuring, if an image has not three channels.
    """

    weights: Tensor

    def __init__(self, noise_std: float = 0.0) -> None:
        super().__init__(noise_std)
        weights = torch.tensor([0.2989, 0.5870, 0.1140]).reshape(3, 1, 1)
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, x_0: Tensor) -> Tensor:
        """Brightness, `(B, 1, H, W)`, in [-1, 1]."""
        if x_0.shape[1] != 3:
            raise InvalidValueError(
                f"Colorization needs images with 3 channels (red, green, blue), but got {x_0.shape[1]}."
            )
        return (self.weights.to(x_0) * x_0).sum(dim=1, keepdim=True)

    def decomposition(self, x: Tensor, y: Tensor) -> Decomposition:
        """See `LinearOperator.decomposition`: one direction of colours is measured, two are not."""
        _, values, basis = torch.linalg.svd(self.weights.double().reshape(1, 3))
        # The library leaves the sign of a direction open.
        basis = (basis * (basis[0] @ self.weights.double().flatten().to(basis)).sign()).to(x)
        return Decomposition(
            F.pad(values, (0, 2)).to(x).reshape(3, 1, 1),
            lambda x: torch.einsum("ij,njhw->nihw", basis, x),
            lambda c: torch.einsum("ij,nihw->njhw", basis, c),
            lambda y: F.pad(y, (0, 0, 0, 0, 0, 2)),
        )

    def adjoint(self, y: Tensor) -> Tensor:
        """The brightness times each channel's weight, `(B, 3, H, W)`."""
        return self.weights.to(y) * y

    def pseudo_inverse(self, y: Tensor, damping: float = 0.0) -> Tensor:
        """The shortest colour of that brightness, `(B, 3, H, W)`; it is greenish, not grey."""
        weights = self.weights.to(y)
        return weights * y / (weights.square().sum() + damping)

    def picture(self, y: Measurement) -> Tensor:
        """The brightness in all three channels, `(B, 3, H, W)`."""
        return tensor(y).clamp(-1, 1).expand(-1, 3, -1, -1)
