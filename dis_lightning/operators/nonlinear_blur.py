"""Nonlinear blur: a network blurs the image by a latent kernel.

    y = clamp(2 W((x_0 + 1) / 2, k) - 1, -1, 1) + noise_std n,    k ~ N(0, 1.2^2 I)

W is the network of Tran et al. 2021 (`KernelWizard`). Restoration is not blind: the kernel is known, so it is part of
the measurement. By default every image has its own, and `y` carries it: a fourth channel beside the three of the
blurred image holds the numbers of `k`, row by row, and zeros after them. Whoever is given `y` then compares by the
right kernel, in any batch and after any restart.
"""

import zlib
from pathlib import Path

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError
from dis_lightning.noise import NoiseSource, keyed_generator
from dis_lightning.operators.base import GaussianOperator, tensor
from dis_lightning.operators.networks.kernel_wizard import KernelWizard
from dis_lightning.operators.networks.published import published
from dis_lightning.types import Measurement
from dis_lightning.weights import LazyNetwork, Precision, as_dtype

__all__ = ["NonlinearBlur"]

KERNEL_STD = 1.2
"""Of the latent kernels in the code of Tran et al. 2021, and of all who took it over."""


class NonlinearBlur(GaussianOperator):
    """Blur by a published network. The sides of the images must be multiples of 128.

    Args:
        network: a network; or a file, or the name of a card, to read it from on first use.
        noise_std: standard deviation of the noise on the blurred image.
        kernel_seed: None for a kernel per image, from the image's noise stream; or a number, and all images have the
            kernel of that seed, as in Zhang et al. 2024 (DAPS). `y` has three channels then.
        resample: whether every evaluation draws a new kernel, as in the code of Chung et al. 2023 (DPS) and Purohit et
            al. 2024, where measurement and guidance never see the same blur. The kernel is drawn from a stream that is
            keyed by the image itself, to the last bit: repeated and resumed runs are equal; where another batch size or
            device rounds otherwise, its kernels, and so its samples, are others. `y` has three channels then.
        dtype: precision of a network that is read; one that is given keeps its own.

    Without a measurement, `forward` uses the kernel of `kernel_seed`, or of seed 0.

    Raises:
        FileNotFoundError: if `network` names neither a file nor a card.
        ValueError: if both `kernel_seed` and `resample` are given, or `kernel_seed` is negative; when measuring, if the
            network cannot take images of that size.
    """

    def __init__(
        self,
        # With `Path` among the types, a file named on the command line is not opened there, as a configuration.
        network: KernelWizard | str | Path = "kernel_wizard_gopro",
        noise_std: float = 0.0,
        kernel_seed: int | None = None,
        resample: bool = False,
        dtype: Precision = torch.float32,
    ) -> None:
        super().__init__(noise_std)
        if kernel_seed is not None and (resample or kernel_seed < 0):
            raise InvalidValueError(
                "NonlinearBlur needs kernel_seed >= 0, and none where kernels are drawn anew (resample), but got "
                f"kernel_seed={kernel_seed} and resample={resample}."
            )
        self.network: LazyNetwork[KernelWizard] = published(network, KernelWizard, dtype)
        self.kernel_seed = kernel_seed
        self.resample = resample
        self.dtype = as_dtype(dtype)

    def accept(self, shape: tuple[int, ...]) -> None:
        """See `Operator.accept`."""
        with torch.device("meta"):
            (self.network.network or KernelWizard()).kernel_shape(torch.empty(1, *shape))

    def forward(self, x_0: Tensor) -> Tensor:
        """Blurred images, `(B, 3, H, W)`, in [-1, 1]; see the class for the kernel."""
        return self._blurred(x_0, self._redrawn(x_0) if self.resample else self._shared(x_0))

    def measure(self, x_0: Tensor, noise: NoiseSource) -> Tensor:
        """Blurred images with noise, `(B, 3, H, W)`; with the kernel, `(B, 4, H, W)`, where each has its own."""
        if self.kernel_seed is not None:
            return super().measure(x_0, noise)
        kernel = KERNEL_STD * noise.normal((len(x_0), *self._ready(x_0).kernel_shape(x_0)), x_0.dtype)
        blurred = self._blurred(x_0, kernel)
        y = torch.add(blurred, noise.like(blurred), alpha=self.noise_std)
        return y if self.resample else torch.cat([y, _as_plane(kernel, x_0)], dim=1)

    def adopt(self, y: Tensor, noise: NoiseSource, shape: tuple[int, ...]) -> Measurement:
        """See `Operator.adopt`."""
        if self.kernel_seed is None and not self.resample:
            raise InvalidValueError(
                "NonlinearBlur draws a kernel for each image, which is not the one of your picture; give the "
                "kernel_seed that it was blurred with."
            )
        return super().adopt(y, noise, shape)

    def picture(self, y: Measurement) -> Tensor:
        """The blurred image, clamped to [-1, 1]."""
        return tensor(y)[:, :3].clamp(-1, 1)

    def compare(self, x_0: Tensor, y: Measurement) -> tuple[Tensor, Tensor]:
        """See `GaussianOperator.compare`; with the kernel that `y` carries."""
        y = tensor(y)
        carried = y.shape[1] == 4
        return self._blurred(x_0, self._carried(x_0, y[:, 3])) if carried else self(x_0), y[:, :3]

    def _blurred(self, x_0: Tensor, kernel: Tensor) -> Tensor:
        blurred: Tensor = self._ready(x_0)((x_0 + 1) / 2, kernel)
        return (2 * blurred - 1).clamp(-1, 1)

    def _carried(self, x_0: Tensor, plane: Tensor) -> Tensor:
        shape = self._ready(x_0).kernel_shape(x_0)
        return plane.flatten(1)[:, : torch.Size(shape).numel()].reshape(-1, *shape)

    def _shared(self, x_0: Tensor) -> Tensor:
        generator = keyed_generator(self.kernel_seed or 0, ())
        return self._drawn(x_0, [generator]).expand(len(x_0), -1, -1, -1)

    def _redrawn(self, x_0: Tensor) -> Tensor:
        keys = [zlib.crc32(image.numpy().tobytes()) for image in x_0.detach().float().cpu()]
        return self._drawn(x_0, [keyed_generator(0, (key,), use="redrawn kernel") for key in keys])

    def _drawn(self, x_0: Tensor, generators: list[torch.Generator]) -> Tensor:
        shape = self._ready(x_0).kernel_shape(x_0)
        return KERNEL_STD * torch.stack([torch.randn(shape, generator=g) for g in generators]).to(x_0)

    def _ready(self, x_0: Tensor) -> KernelWizard:
        if self.network.network is None:
            self.accept(tuple(x_0.shape[1:]))
        return self.network.ready(x_0)


def _as_plane(kernel: Tensor, x_0: Tensor) -> Tensor:
    """The numbers of each kernel as a channel beside those of the images, `(B, 1, H, W)`."""
    plane = x_0.new_zeros(len(x_0), 1, *x_0.shape[-2:])
    plane.flatten(1)[:, : kernel[0].numel()] = kernel.flatten(1)
    return plane
