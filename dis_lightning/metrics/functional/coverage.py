"""How often pixel-wise intervals of the samples cover the truth, and how often they should.

Sorted, the values of S samples at a pixel bound the central intervals `[x_(i), x_(S + 1 - i)]`. If the truth is one
more draw from the posterior, its place among the samples is uniform over S + 1 places, so that an interval covers it
with probability

    level_i = (S + 1 - 2 i) / (S + 1),    i = 1 .. S / 2

exactly, however few samples there are, if they are independent: successive samples of a chain resemble each other, and
cover less. Equal values, which 8 bit make frequent, are put in random order: the truth with
b samples below and t equal to it is at each of the places b .. b + t with probability 1 / (t + 1). Rubin, "Bayesianly
Justifiable and Relevant Frequency Calculations", 1984; Talts et al., "Validating Bayesian Inference Algorithms with
Simulation-Based Calibration", 2018.
"""

import torch
from torch import Tensor

__all__ = ["coverage", "coverage_levels"]


def coverage_levels(samples: int) -> Tensor:
    """How often the intervals of S samples should cover the truth, from the widest interval to the narrowest, `(L,)`.

    Args:
        samples: number of samples S, >= 2.
    """
    i = torch.arange(1, samples // 2 + 1, dtype=torch.float64)
    return (samples + 1 - 2 * i) / (samples + 1)


def coverage(samples: Tensor, truth: Tensor) -> Tensor:
    """Share of the pixels of one image at which each interval covers the truth, `(L,)`; see the module.

    Args:
        samples: `(S, ...)`, S >= 2.
        truth: `(...)`.
    """
    number = len(samples)
    below, equal = (samples < truth).sum(dim=0), (samples == truth).sum(dim=0)
    i = torch.arange(1, number // 2 + 1).reshape(-1, *[1] * truth.ndim).to(below)
    # Places 0 .. S; interval i holds the places i .. S - i.
    inside = torch.minimum(below + equal, number - i) - torch.maximum(below, i) + 1
    shares = inside.clamp(min=0) / (equal + 1)
    return shares.double().flatten(1).mean(dim=1)
