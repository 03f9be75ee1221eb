"""A prior of your own, whole: copy the file to the folder that you work in, and name its class.

dis-lightning predict --config quickstart --denoiser own_prior.GreyPrior --denoiser.size 32 --writer.folder outputs/grey
"""

import torch
from torch import Tensor

from dis_lightning.priors import Denoiser


class GreyPrior(Denoiser):
    """Pixels that are independent and Gaussian, around grey.

    Here the posterior mean is a formula. A network of yours takes its place in `forward`; what it needs (scaling of its
    input, embedding of the level, casts) stays inside, and its file is read in `load`, before anything is sampled.

    Args:
        size: height and width.
        mean: the mean of every pixel, in [-1, 1].
        std: its standard deviation.
    """

    kind = "posterior mean"  # a map along the probability flow would be a "consistency map"

    def __init__(self, size: int = 32, mean: float = 0.0, std: float = 0.5) -> None:
        super().__init__()
        self.shape = (3, size, size)
        self.mean = mean
        self.variance = std**2

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        """The mean of the clean images given noisy ones, `(N, 3, size, size)`; `sigma` is a float or `(N,)`."""
        noise = torch.as_tensor(sigma, dtype=x_t.dtype, device=x_t.device).reshape(-1, 1, 1, 1) ** 2
        return (self.variance * x_t + noise * self.mean) / (self.variance + noise)
