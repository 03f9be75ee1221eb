"""What every image cost."""

from typing import ClassVar

import torch
from torch import Tensor

from dis_lightning.callbacks.metric import ImageMetric
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Cost, Reconstruction

__all__ = ["CostPerImage"]


class CostPerImage(ImageMetric):
    """Network evaluations, gradients, seconds and peak memory (GiB) of every image, all its samples together.

    An image that was finished by an earlier run keeps the cost it had there.
    """

    section: ClassVar[str] = "cost"

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        columns = zip(Cost._fields, zip(*reconstruction.draws.costs, strict=True), strict=True)
        return {name: torch.tensor(values, dtype=torch.float64) for name, values in columns}
