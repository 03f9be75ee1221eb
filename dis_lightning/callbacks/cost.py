"""What every image cost."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from dis_lightning.callbacks.metric import ImageMetric
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Cost, Reconstruction

__all__ = ["CostPerImage"]


UNITS = {"seconds": "s", "memory": "GiB"}


class CostPerImage(ImageMetric):
    """Network evaluations, gradients, seconds and peak memory (GiB) of every image, all its samples together.

    `..._per_sample` is the share of one sample. An image that was finished by an earlier run keeps the cost it had
    there.
    """

    section: ClassVar[str] = "cost"

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        columns = zip(Cost._fields, zip(*reconstruction.draws.costs, strict=True), strict=True)
        values = {name: torch.tensor(numbers, dtype=torch.float64) for name, numbers in columns}
        number = reconstruction.draws.samples.shape[1]
        if number == 1:
            return values
        shares = {f"{name}_per_sample": values[name] / number for name in ("evaluations", "gradients", "seconds")}
        return values | shares

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        stem = name.removesuffix("_per_sample")
        whose = "all samples of an image" if stem == name else "one sample, of all that are drawn together"
        unit = {"unit": UNITS[stem]} if stem in UNITS else {}
        return {"what": f"{stem} of {whose}; see dis_lightning.types.Cost", **unit}
