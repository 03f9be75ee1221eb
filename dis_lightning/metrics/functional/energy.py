"""The energy score: how good a set of samples is as a forecast of the one image that is true.

    ES = 1/S sum_s |x_s - x|  -  1/(2 S (S - 1)) sum_{s, s'} |x_s - x_s'|

with the Euclidean norm over all values of an image. It is a proper score: over images and measurements, no law of the
samples scores better on average than the posterior. Samples that fit their noise, or all agree, lose what PSNR would
give them. The second term is unbiased for independent samples, so that the score does not depend on how many there are;
successive samples of a chain resemble each other, and score worse. Gneiting and Raftery, "Strictly Proper Scoring
Rules, Prediction, and Estimation", 2007, section 4.3.
"""

import torch
from torch import Tensor

__all__ = ["energy_score"]


def energy_score(samples: Tensor, truth: Tensor) -> Tensor:
    """The energy score of the samples of one image, lower is better; see the module.

    Args:
        samples: `(S, ...)`, S >= 2.
        truth: `(...)`.

    Returns:
        One number, in double precision, in units of the data times the root of the number of values.
    """
    rows = samples.double().flatten(1)
    to_truth = (rows - truth.double().flatten()).norm(dim=1).mean()
    score: Tensor = to_truth - torch.nn.functional.pdist(rows).mean() / 2
    return score
