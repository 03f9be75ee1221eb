"""Scoring a finished run again from its folder alone.

Nothing is sampled, and no network of the prior is read. The images, the samples and the measurements come from the
folder, batch by batch as they were sampled, so that a metric gives what it would have given during the run.
"""

import warnings
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from dis_lightning.callbacks.configuration import expected_images
from dis_lightning.callbacks.folder import RunFolder
from dis_lightning.callbacks.metric import Metric, require_different
from dis_lightning.callbacks.summary import Summary, sum_up
from dis_lightning.errors import MissingFileError
from dis_lightning.priors import Denoiser
from dis_lightning.solvers import Solver

__all__ = ["UnreadPrior", "evaluate"]


class UnreadPrior(Denoiser):
    """Stands where a prior stood while a run is scored again: scoring needs none.

    Args:
        shape: shape of one image.
    """

    def __init__(self, shape: list[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        """Nothing is sampled.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("A run that is scored again has no prior; to sample, use dis-lightning predict.")


def evaluate(run: Path, metrics: Sequence[Metric], solver: Solver) -> Summary:
    """Score a run again; write its `metrics.json` and `results.csv` anew.

    What other metrics have written there of the same images stays. A warning says where images of the run are missing.

    Args:
        run: the run folder.
        metrics: what to compute.
        solver: the run's solver, on the device to compute on; its prior is not used.

    Returns:
        The content of `metrics.json`.

    Raises:
        FileNotFoundError: if the folder holds no finished image.
        ValueError: if a file is gone or damaged, or a metric cannot be computed.
    """
    folder = RunFolder(run)
    records = [folder.record(int(file.stem)) for file in sorted(run.glob("records/*.json"))]
    if not records:
        raise MissingFileError(f"{run} holds no finished image; give the folder of a run (--writer.folder).")
    if len(records) < (expected := expected_images(run)):
        warnings.warn(
            f"The run in {run} is not finished: only {len(records)} of its {expected} images are scored, and there is "
            "no report page. Give its command again, which computes what is missing.",
            stacklevel=2,
        )
    require_different(metrics)
    for metric in metrics:
        metric.rows = {}
        metric.require(solver, len(records))
        metric.prepare(solver, solver.device)
    with torch.no_grad():
        for _, batch in groupby(records, key=lambda record: record.get("batch", record["index"])):
            whole = folder.reconstruction([record["index"] for record in batch])
            measurement = whole.measurement
            here = measurement.to(solver.device) if isinstance(measurement, Tensor) else measurement
            for metric in metrics:
                metric.score(whole._replace(source=whole.source.to(solver.device), measurement=here), solver)
    return sum_up(folder, metrics, [m.rows for m in metrics], [record["index"] for record in records])
