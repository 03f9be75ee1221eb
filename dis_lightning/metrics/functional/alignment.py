"""Images compared up to what a measurement cannot tell apart: shifts, a turn by 180 degrees, perhaps the sign.

For an image `a` and a target `b` the best circular shift has the least

    |shift_s a - b|^2 = |a|^2 + |b|^2 - 2 c(s),    c = F^-1 (conj(F a) . F b)    summed over the channels

so one Fourier transform finds it among all H W shifts. A turned image is compared likewise. All channels move together.
"""

import torch
from torch import Tensor

__all__ = ["aligned"]


def aligned(images: Tensor, targets: Tensor, *, signs: bool = False) -> Tensor:
    """Bring images as close to their targets as shifts and turns by 180 degrees can, in the Euclidean norm.

    Args:
        images: `(N, C, H, W)`.
        targets: one for each image, same shape.
        signs: whether an image may also be replaced by its negative, in units where 0 is mid-grey.

    Returns:
        The images, shifted and turned.
    """
    turned = images.flip(-2, -1)
    candidates = [images, turned, -images, -turned] if signs else [images, turned]
    overlaps = torch.stack([_overlaps(candidate, targets).flatten(1) for candidate in candidates], dim=1)
    best = overlaps.flatten(1).argmax(dim=1)
    return torch.stack([_moved(candidates, row, int(where)) for row, where in enumerate(best)])


def _overlaps(images: Tensor, targets: Tensor) -> Tensor:
    """Inner products of the targets with the images at every shift (down, right), `(N, H, W)`."""
    # In double precision, so that equal candidates are told apart by their order, not by rounding.
    spectra = torch.fft.rfft2(images.double()).conj() * torch.fft.rfft2(targets.double())
    overlaps: Tensor = torch.fft.irfft2(spectra.sum(dim=1), s=images.shape[-2:])
    return overlaps


def _moved(candidates: list[Tensor], row: int, where: int) -> Tensor:
    height, width = candidates[0].shape[-2:]
    candidate, shift = divmod(where, height * width)
    return candidates[candidate][row].roll(divmod(shift, width), dims=(-2, -1))
