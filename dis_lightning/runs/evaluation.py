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
from torch.utils._pytree import tree_map_only

from dis_lightning.data import ImageTransform
from dis_lightning.errors import InvalidValueError, MissingFileError
from dis_lightning.metrics.base import Metric, require_different
from dis_lightning.runs.configuration import expected_images, read_configuration
from dis_lightning.runs.folder import RunFolder
from dis_lightning.runs.lock import held
from dis_lightning.runs.summary import Summary, read_summary, reconfigured, sum_up
from dis_lightning.solvers import Solver
from dis_lightning.types import Reconstruction

__all__ = ["evaluate"]


def evaluate(run: Path, metrics: Sequence[Metric], solver: Solver, transform: ImageTransform | None = None) -> Summary:
    """Score a run again; write its `metrics.json` and `results.csv` anew.

    What other metrics have written there of the same images stays. A warning says where images of the run are missing.

    Args:
        run: the run folder.
        metrics: what to compute.
        solver: the run's solver, on the device to compute on; its prior is not used.
        transform: how the run's images were brought to their size, for references that are brought to it likewise.

    Returns:
        The content of `metrics.json`.

    Raises:
        FileNotFoundError: if the folder holds no finished image.
        ValueError: if a file is gone or damaged, a metric cannot be computed, the solver has another number of
            samples, or the run has got other images meanwhile.
    """
    folder = RunFolder(run)
    records = [folder.require(index) for index in folder.indices()]
    if not records:
        raise MissingFileError(f"{run} holds no finished image; give the folder of a run (--writer.folder).")
    if len(records) < (expected := expected_images(folder)):
        warnings.warn(
            f"The run in {run} is not finished: only {len(records)} of its {expected} images are scored, and there is "
            "no report page. Give its command again, which computes what is missing.",
            stacklevel=2,
        )
    if (there := len(records[0]["diverged"])) != solver.num_samples:
        raise InvalidValueError(
            f"The run in {run} has {there} samples of each image, but its solver here has "
            f"num_samples={solver.num_samples}; give it the run's number."
        )
    if (summary := read_summary(folder)) and reconfigured(summary, read_configuration(folder) or {}):
        warnings.warn(
            f"{folder.configuration} is not as it was when the run was summed up, and is taken as it stands now.",
            stacklevel=2,
        )
    require_different(metrics)
    for metric in metrics:
        metric.rows = {}
        metric.transform, metric.truth = transform, folder.source(records[0]["index"]).exists()
        metric.require(solver, len(records))
        metric.warn_without_truth()
        metric.prepare(solver, solver.device)
    with torch.no_grad():
        for _, batch in groupby(records, key=lambda record: record["batch"]):
            whole = folder.reconstruction([record["index"] for record in batch])
            here = Reconstruction(*tree_map_only(Tensor, lambda tensor: tensor.to(solver.device), tuple(whole)))
            for metric in metrics:
                metric.score(here._replace(draws=whole.draws), solver)
    require_different(metrics)  # by what they gave
    indices = [record["index"] for record in records]
    with held(run):  # what another command has written meanwhile stays
        if folder.indices() != indices:
            raise InvalidValueError(
                f"The run in {run} has got other images while it was scored; give the command again."
            )
        return sum_up(folder, metrics, [metric.rows for metric in metrics], indices)
