"""What every image cost: a share of what its batch did."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from dis_lightning.metrics.base import Direction, ImageMetric, Value
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Cost, Reconstruction

__all__ = ["CostPerImage"]


WHAT = {
    "evaluations": "forward passes through a network, every row of a batch counted; of an image, all its samples",
    "gradients": "backward passes through a network, every row of a batch counted; of an image, all its samples",
    "seconds": "wall time of the sampling, neither measuring nor scoring nor files; of an image, all its samples: the "
    "equal share of its batch's time",
    "memory": "peak memory while the image's batch was sampled, all its images and samples together, networks "
    "included: on a GPU what was allocated, on a CPU the peak of the whole process since its start",
}

PER = {
    "_per_sample": "; that, shared equally by all samples that it is of",
    "_per_image": "; that, shared equally by the images of the batch",
}
"""What endings of names add."""


class CostPerImage(ImageMetric):
    """Network evaluations, gradients and seconds of every image, all its samples together, and peak memory (GiB).

    The memory is that of the image's whole batch; `memory_per_image` is an image's equal share of it. `..._per_sample`
    is the equal share of one sample. An image that was finished by an earlier run keeps the cost it had there.
    """

    section: ClassVar[str] = "cost"
    values: ClassVar[dict[str, Value]] = {
        "evaluations": Value("network evaluations", Direction.LOWER),
        "gradients": Value("network gradients", Direction.LOWER),
        "seconds": Value("time", Direction.LOWER, "s"),
        "memory": Value("peak memory", Direction.LOWER, "GiB"),
    }

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        columns = zip(Cost._fields, zip(*reconstruction.draws.costs, strict=True), strict=True)
        values = {name: torch.tensor(numbers, dtype=torch.float64) for name, numbers in columns}
        images, number = reconstruction.draws.samples.shape[:2]
        of_image = values | {"memory": values["memory"] / images}
        values["memory_per_image"] = of_image["memory"]
        if number > 1:
            values |= {f"{name}_per_sample": value / number for name, value in of_image.items()}
        return values

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        stem, *_ = name.partition("_per_")
        return {"what": WHAT[stem] + PER.get(name.removeprefix(stem), "")}
