"""Measurements that are not linear, small enough for exact posteriors.

    pointwise        y = phi(A vec(x_0)) + s n
    linear logits    y = argmax_k (W x_0 + b)_k     segmentation of a few pixels, by a network of one layer

Those of pictures are in `dis_lightning.operators`.
"""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from dis_lightning.operators import GaussianOperator, LabelOperator

__all__ = ["LinearLogits", "Pointwise", "clipped"]


class Pointwise(GaussianOperator):
    """`y = phi(A vec(x_0)) + noise_std n` with a function of each number.

    Args:
        matrix: A, `(M, D)`.
        function: phi, differentiable almost everywhere.
        noise_std: standard deviation of the noise on `y`.
    """

    matrix: Tensor

    def __init__(self, matrix: Tensor, function: Callable[[Tensor], Tensor], noise_std: float = 0.0) -> None:
        super().__init__(noise_std)
        self.register_buffer("matrix", matrix, persistent=False)
        self.function = function

    def forward(self, x_0: Tensor) -> Tensor:
        """`phi(A vec(x_0))`, `(B, M)`."""
        return self.function(x_0.flatten(1) @ self.matrix.T.to(x_0))


class LinearLogits(LabelOperator):
    """Classes of pixels, by logits that are linear in the pixel: `(W x_0 + b)_k` for class k.

    Args:
        weight: W, `(K, C)`. What `y` tells of the image grows with it.
        bias: b, `(K,)`.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__([f"class {k}" for k in range(len(weight))])
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("bias", bias, persistent=False)

    def forward(self, x_0: Tensor) -> Tensor:
        """Logits, `(B, K, H, W)`."""
        return F.conv2d(x_0, self.weight[..., None, None].to(x_0), self.bias.to(x_0))


def clipped(values: Tensor) -> Tensor:
    """Twice the contrast, cut at the ends of the range."""
    return (2 * values).clamp(-1, 1)
