"""Phase retrieval: the magnitudes of the Fourier transform, without the phases.

    A(x_0) = |F P u|,    u = (high - low) / 2 x_0 + (high + low) / 2

with zeros all around (`P`) and the unitary Fourier transform of each channel, frequency 0 in the middle. What the zeros
let it tell apart is an image up to a shift, up to a turn by 180 degrees, and, for a range that is symmetric about 0, up
to its sign: see `dis_lightning.metrics.AlignedPSNR`.

Several conventions go by one name. Purohit et al. 2024 measure images in [-1, 1] with `oversample=1`, Chung et al. 2023
(DPS) images in [-1, 1] with `oversample=2`, Zhang et al. 2024 (DAPS) images in [0, 1] with `oversample=2`.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from dis_lightning.errors import InvalidValueError, require_numbers
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import GaussianOperator, Operator, tensor
from dis_lightning.types import Measurement

__all__ = ["PhaseRetrieval"]


class PhaseRetrieval(GaussianOperator):
    """Magnitudes of the Fourier transform of each channel.

    Args:
        oversample: margin of zeros on each side, in eighths of the image's side, >= 0: 1 adds 32 pixels to 256.
        noise_std: standard deviation of the noise on `y`. Noise may turn small magnitudes negative.
        input_range: black and white in the picture that is measured.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self, oversample: float = 1.0, noise_std: float = 0.0, input_range: tuple[float, float] = (-1.0, 1.0)
    ) -> None:
        super().__init__(noise_std)
        low, high = input_range
        require_numbers(self, oversample=oversample)
        for bound in input_range:
            require_numbers(self, input_range=bound)
        if not 0 <= oversample <= 1000 or not low < high:
            raise InvalidValueError(
                "PhaseRetrieval needs an oversample in 0 .. 1000 and an input_range from low to high, but got "
                f"oversample={oversample}, input_range={input_range}."
            )
        self.oversample = oversample
        self.input_range = (low, high)

    def forward(self, x_0: Tensor) -> Tensor:
        """Magnitudes, `(B, C, H + 2 margin, W + 2 margin)`, >= 0."""
        low, high = self.input_range
        rows, columns = (int(self.oversample / 8 * side) for side in x_0.shape[-2:])
        padded = F.pad((high - low) / 2 * x_0 + (high + low) / 2, (columns, columns, rows, rows))
        # Where a padded image begins on its torus changes the phases alone.
        spectrum: Tensor = torch.fft.fftshift(torch.fft.fft2(padded, norm="ortho"), dim=(-2, -1))
        return spectrum.abs()

    def adopt(self, y: Tensor, noise: NoiseSource, shape: tuple[int, ...]) -> Measurement:
        """Pictures are no magnitudes; see `Operator.adopt`."""
        return Operator.adopt(self, y, noise, shape)

    def picture(self, y: Measurement) -> Tensor:
        """Logarithms of the magnitudes, from 0 (black) to the largest of the image (white)."""
        logarithms = tensor(y).clamp(min=0).log1p()
        largest = logarithms.flatten(1).amax(dim=1).clamp(min=torch.finfo(logarithms.dtype).tiny)
        return 2 * logarithms / largest.reshape(-1, 1, 1, 1) - 1
