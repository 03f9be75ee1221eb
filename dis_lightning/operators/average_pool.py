"""Super-resolution by average pooling: `y` is the mean of each `factor x factor` block.

With `A` the block mean of f^2 pixels, `A A^T = I / f^2`, so `A^+ = f^2 A^T`: every pixel of a block gets its mean; with
damping it gets a share `1 / (1 + f^2 damping)` of it.
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from dis_lightning.errors import InvalidValueError, require_whole
from dis_lightning.operators.base import LinearOperator
from dis_lightning.operators.spectrum import Decomposition, separable

__all__ = ["AveragePool"]


class AveragePool(LinearOperator):
    """Average-pool super-resolution (Purohit et al. 2024: factor 8 on LSUN, 4 on ImageNet-64).

    Args:
        factor: side of a block, >= 1; it must divide the image's height and width.
        noise_std: standard deviation of the noise on `y`.

    Raises:
        ValueError: if `factor` is below 1 or, when measuring, does not divide the image.
    """

    def __init__(self, factor: int, noise_std: float = 0.0) -> None:
        super().__init__(noise_std)
        require_whole(self, 1, factor=factor)
        self.factor = factor

    def forward(self, x_0: Tensor) -> Tensor:
        """Block means, `(B, C, H / factor, W / factor)`."""
        height, width = x_0.shape[-2:]
        if height % self.factor or width % self.factor:
            raise InvalidValueError(
                f"AveragePool(factor={self.factor}) cannot divide an image of {height} x {width} pixels."
            )
        return F.avg_pool2d(x_0, self.factor)

    def decomposition(self, x: Tensor, y: Tensor) -> Decomposition:
        """See `LinearOperator.decomposition`: means along the rows and along the columns."""
        height, width = x.shape[-2:]
        return _decomposed(self.factor, height, width, x.dtype, x.device)

    def adjoint(self, y: Tensor) -> Tensor:
        """Spread each value over its block, divided by the block's size."""
        return self.pseudo_inverse(y) / self.factor**2

    def pseudo_inverse(self, y: Tensor, damping: float = 0.0) -> Tensor:
        """Repeat each value over its block."""
        return F.interpolate(y, scale_factor=self.factor, mode="nearest") / (1 + self.factor**2 * damping)


@lru_cache(maxsize=8)  # solvers ask for it at every step
@torch.inference_mode(False)
def _decomposed(factor: int, height: int, width: int, dtype: torch.dtype, device: torch.device) -> Decomposition:
    means = (torch.eye(size // factor).repeat_interleave(factor, dim=1) / factor for size in (height, width))
    return separable(*(axis.to(device, dtype) for axis in means))
