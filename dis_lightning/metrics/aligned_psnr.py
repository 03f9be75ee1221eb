"""PSNR of images that are known up to shifts and turns: for phase retrieval."""

from typing import Any, ClassVar

from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio

from dis_lightning.images import dequantise, quantise
from dis_lightning.metrics.base import Direction, ImageMetric, Value
from dis_lightning.metrics.functional.alignment import aligned
from dis_lightning.metrics.per_sample import over_samples, sample_rows
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Reconstruction

__all__ = ["AlignedPSNR"]


class AlignedPSNR(ImageMetric):
    """PSNR (dB) against the clean image after the best alignment, on 8-bit images.

    Magnitudes of a Fourier transform do not tell an image from itself shifted or turned by 180 degrees; where black and
    white are symmetric about 0, neither from its negative. For every image, `psnr_aligned` is the mean over its
    samples, each moved by the circular shift, with or without the turn, that brings it closest to the clean image. It
    is never below `psnr`, and no measure of how well a method chose among the alternatives. Diverged samples are left
    out.

    Args:
        signs: whether the negative of a sample is one of the alternatives.
    """

    values: ClassVar[dict[str, Value]] = {"psnr_aligned": Value("PSNR aligned", Direction.HIGHER, "dB")}
    needs_truth = True

    def __init__(self, signs: bool = False) -> None:
        super().__init__()
        self.signs = signs

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        samples = sample_rows(reconstruction)
        sources = reconstruction.truth.repeat_interleave(len(samples) // len(reconstruction.truth), dim=0)
        closest = aligned(samples, dequantise(sources), signs=self.signs)
        # Back to 8 bits, where a negative is exact.
        eight_bit = (quantise(closest).float(), sources.float())
        psnr = peak_signal_noise_ratio(*eight_bit, data_range=255.0, reduction="none", dim=(1, 2, 3))
        return over_samples("psnr_aligned", psnr, reconstruction)

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        moves = "circular shifts, turns by 180 degrees" + (" and signs" if self.signs else "")
        what = f"PSNR of 8-bit images, range 1, each sample first moved to the clean image by the best of all {moves}"
        return {"what": what}
