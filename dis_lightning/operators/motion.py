"""Motion blur: the image is seen along the path of a shaking camera.

    y = k * x_0

The kernel k is drawn by the law of the generator by which the field makes its kernels (Borodenko,
https://github.com/LeviBorodenko/motionblur, 2019; used by Chung et al. 2023 and Zhang et al. 2024). With d the kernel's
diagonal and I the intensity in [0, 1], a path is a chain of straight steps:

    length of the path     3/4 d (U(0, 1) + U(0, I^2)); the last step goes beyond it
    length of a step       (1.1 - I) d Beta(1, 30)
    largest angle M        U(0, pi I)
    angles                 the first U(-M, M), then of size Triangular(0, I M, M + 0.1)
    sign of an angle       that of the one before, but for a chance of Beta(2, 20), drawn once

The path goes from the end of the first step to the end of the last, is centred at the mean of these ends, and turned as
a whole by U(0, pi). It is drawn as a line of even brightness at twice the size, `d / 75` pixels there wide and at least
one, blurred by a Gaussian of standard deviation `d / 50` pixels there, both rounded down, and brought to its size by
Lanczos' filter. So a place that the path crosses twice is as bright as any other: it is no exposure, for which see
Boracchi & Foi, "Modeling the Performance of Image Restoration from Motion Blur", IEEE TIP 2012.

The convolution is circular. Then the Fourier basis diagonalises it and all inverses are exact; with the reflected
borders of the field there is no closed form, since a path has no mirror symmetry. The two differ only within the
kernel's reach of the border.
"""

import math

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

from dis_lightning.errors import InvalidValueError, require_numbers, require_whole
from dis_lightning.operators.base import LinearOperator
from dis_lightning.operators.spectrum import Decomposition, spectral_inverse

__all__ = ["MotionBlur"]


class MotionBlur(LinearOperator):
    """Blur by one random movement of the camera, the same for all images.

    Args:
        kernel_size: odd side of the kernel, in pixels; one larger than the image wraps around it.
        intensity: 0 for a straight line, up to 1 for a long and shaky path.
        noise_std: standard deviation of the noise on `y`.
        seed: chooses the path.
        tolerance: frequencies that the kernel passes with less than this share are taken as lost in the pseudo-inverse
            without damping.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        kernel_size: int = 61,
        intensity: float = 0.5,
        noise_std: float = 0.0,
        seed: int = 0,
        tolerance: float = 0.01,
    ) -> None:
        super().__init__(noise_std)
        require_whole(self, 1, kernel_size=kernel_size)
        require_whole(self, 0, seed=seed)
        require_numbers(self, intensity=intensity, tolerance=tolerance)
        if kernel_size % 2 == 0 or not 0 <= intensity <= 1 or not 0 < tolerance < 1:
            raise InvalidValueError(
                "MotionBlur needs an odd kernel_size, intensity in [0, 1] and tolerance in (0, 1), but got "
                f"kernel_size={kernel_size}, intensity={intensity}, tolerance={tolerance}."
            )
        self.kernel_size = kernel_size
        self.intensity = intensity
        self.seed = seed
        self.tolerance = tolerance
        self._spectra: dict[tuple[torch.Size, torch.dtype, torch.device], Tensor] = {}

    def kernel(self) -> Tensor:
        """The kernel, `(kernel_size, kernel_size)`, double precision, sum 1."""
        path = _path(np.random.default_rng(self.seed), self.kernel_size, self.intensity)
        return torch.from_numpy(_drawn(path, self.kernel_size))

    def forward(self, x_0: Tensor) -> Tensor:
        """Blurred images, `(B, C, H, W)`."""
        return self._filtered(x_0, self._spectrum(x_0))

    def adjoint(self, y: Tensor) -> Tensor:
        """Blur along the reversed path."""
        return self._filtered(y, self._spectrum(y).conj())

    def pseudo_inverse(self, y: Tensor, damping: float = 0.0) -> Tensor:
        """Each frequency undone; the Wiener filter for white images with noise of variance `damping`."""
        return self._filtered(y, spectral_inverse(self._spectrum(y), damping, self.tolerance))

    def decomposition(self, x: Tensor, y: Tensor) -> Decomposition:
        """See `LinearOperator.decomposition`: the Fourier basis, in which `U` differs from `V` by a phase."""
        spectrum = torch.fft.fft2(torch.fft.irfft2(self._spectrum(x), s=x.shape[-2:]))
        values = spectrum.abs()
        phase = torch.where(values > 0, spectrum / values.clamp(min=torch.finfo(values.dtype).tiny), 1)
        return Decomposition(
            values,
            lambda x: torch.fft.fft2(x, norm="ortho"),
            lambda c: torch.fft.ifft2(c, norm="ortho").real,
            lambda y: torch.fft.fft2(y, norm="ortho") * phase.conj(),
        )

    @staticmethod
    def _filtered(x: Tensor, spectrum: Tensor) -> Tensor:
        filtered: Tensor = torch.fft.irfft2(torch.fft.rfft2(x) * spectrum, s=x.shape[-2:])
        return filtered

    @torch.inference_mode(False)  # a spectrum made in inference mode could never serve a gradient
    def _spectrum(self, like: Tensor) -> Tensor:
        """What the kernel does to each frequency, `(H, W // 2 + 1)`, made once for each size, type and device."""
        key = (like.shape[-2:], like.dtype, like.device)
        if key not in self._spectra:
            height, width = like.shape[-2:]
            offset = torch.arange(self.kernel_size) - self.kernel_size // 2
            torus = torch.zeros(height, width, dtype=torch.float64)
            rows, columns = torch.meshgrid(offset.remainder(height), offset.remainder(width), indexing="ij")
            torus.index_put_((rows, columns), self.kernel(), accumulate=True)
            self._spectra[key] = torch.fft.rfft2(torus).to(like.device, like.dtype.to_complex())
        return self._spectra[key]


def _path(random: np.random.Generator, size: int, intensity: float) -> np.ndarray:
    """Corners of a random path around 0, two or more, complex numbers in pixels; see the module."""
    diagonal = math.hypot(size, size)
    length = 0.75 * diagonal * (random.uniform() + random.uniform(0, intensity**2))
    steps: list[float] = []
    while sum(steps) < length:
        step = (1.1 - intensity) * diagonal * random.beta(1, 30)
        if step < length:  # so that there are two or more
            steps.append(step)
    largest = random.uniform(0, math.pi * intensity)
    turning = random.beta(2, 20)
    angles = random.triangular(0, intensity * largest, largest + 0.1, len(steps))
    angles[0] = random.uniform(-largest, largest)
    flips = np.where(random.uniform(size=len(steps)) < turning, -1, 1)
    flips[0] = 1
    signs = np.cumprod(flips) * (-1 if angles[0] < 0 else 1)
    corners = np.cumsum(steps * np.exp(1j * signs * np.abs(angles)))
    centred: np.ndarray = (corners - corners.mean()) * np.exp(1j * random.uniform(0, math.pi))
    return centred


def _drawn(path: np.ndarray, size: int) -> np.ndarray:
    """A path as a kernel, `(size, size)`, sum 1; what leaves the kernel is cut off. See the module."""
    diagonal = math.hypot(size, size)
    # Pillow cuts coordinates down to pixels, half a pixel on average: whole numbers are between pixels here.
    corners = [(float(corner.real), float(corner.imag)) for corner in 2 * path + size * (1 + 1j)]
    picture = Image.new("L", (2 * size, 2 * size))
    ImageDraw.Draw(picture).line(corners, fill=255, width=max(1, int(diagonal / 75)))
    picture = picture.filter(ImageFilter.GaussianBlur(int(diagonal / 50)))
    kernel = np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS), dtype=np.float64)
    shares: np.ndarray = kernel / kernel.sum()
    return shares
