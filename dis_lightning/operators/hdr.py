"""High dynamic range: `y` is the picture with more contrast than the range can hold.

    A(x_0) = clip(scale x_0, -1, 1)

What is cut off has no gradient: guidance cannot move a pixel that is too bright or too dark already.
"""

from torch import Tensor

from dis_lightning.errors import require_positive
from dis_lightning.operators.base import GaussianOperator

__all__ = ["HDR"]


class HDR(GaussianOperator):
    """Contrast beyond the range, cut at its ends (Purohit et al. 2024, Zhang et al. 2024: scale 2).

    Args:
        scale: how many times the contrast, > 0; above 1 something is cut off.
        noise_std: standard deviation of the noise on `y`.

    Raises:
        ValueError: if `scale` is not positive and finite.
    """

    def __init__(self, scale: float = 2.0, noise_std: float = 0.0) -> None:
        super().__init__(noise_std)
        require_positive(self, scale=scale)
        self.scale = scale

    def forward(self, x_0: Tensor) -> Tensor:
        """Images with more contrast, `(B, C, H, W)`, in [-1, 1]."""
        return (self.scale * x_0).clamp(-1, 1)
