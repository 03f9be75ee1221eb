"""The kernel Stein discrepancy: how far samples are from a law of which only the score `s = grad log p` is known.

With the inverse multiquadric kernel `k(x, x') = 1 / sqrt(1 + r^2)`, `r = |x - x'| / l`,

    u(x, x') = s(x).s(x') k + s(x).grad_x' k + s(x').grad_x k + tr grad_x grad_x' k,
    KSD^2    = l^2 E u(x, x'),    over independent x and x'

which is 0 for the law itself and above 0 for every other one. Estimated over all pairs of different samples it is
unbiased: about 0, on either side, for exact samples that are independent. Liu, Lee, Jordan, "A Kernelized Stein
Discrepancy", 2016; Gorham and Mackey, "Measuring Sample Quality with Kernels", 2017, for this kernel, which also sees
samples that leave the law's region.

It is blind where every score is: to how much weight each of several modes far apart has.
"""

import torch
from torch import Tensor

__all__ = ["stein_discrepancy"]


def stein_discrepancy(samples: Tensor, scores: Tensor, length: float) -> Tensor:
    """The squared kernel Stein discrepancy of samples; see the module.

    Args:
        samples: `(S, ...)`, S >= 2.
        scores: gradient of the law's log-density at each, same shape.
        length: `l`, the distance at which the kernel sees that samples differ, > 0.

    Returns:
        One number without unit, in double precision.
    """
    x, s = samples.double().flatten(1) / length, scores.double().flatten(1) * length
    number, values = x.shape
    # In the kernel's own unit of length; l^2 is taken in.
    r_2 = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").square()
    k = (1 + r_2).rsqrt()
    # (s - s') . (x - x'), the two terms with one derivative.
    along = (s * x).sum(dim=1)
    cross = s @ x.T
    product = along[:, None] + along[None, :] - cross - cross.T
    u = (s @ s.T) * k + product * k**3 + values * k**3 - 3 * r_2 * k**5
    return (u.sum() - u.diagonal().sum()) / (number * (number - 1))
