"""Scoring a finished run again from its folder alone: `dis-lightning evaluate RUN`.

Nothing is sampled, and no network of the prior is read. The images, the samples and the measurements come from the
folder, batch by batch as they were sampled, so that a metric gives what it would have given during the run.
"""

import warnings
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ActionConfigFile  # type: ignore[attr-defined] # public, but not in its list
from lightning import Callback
from lightning.pytorch.cli import LightningArgumentParser
from torch import Tensor

from dis_lightning.callbacks import default_metrics
from dis_lightning.callbacks.configuration import expected_images
from dis_lightning.callbacks.folder import RunFolder
from dis_lightning.callbacks.metric import Metric, require_different
from dis_lightning.callbacks.summary import Summary, sum_up
from dis_lightning.callbacks.table import print_summary
from dis_lightning.errors import InvalidValueError, MissingFileError
from dis_lightning.operators import Operator
from dis_lightning.priors import Denoiser
from dis_lightning.report.command import report_command
from dis_lightning.solvers import Solver

__all__ = ["UnreadPrior", "add_parts", "evaluate", "evaluate_command", "rebuild"]


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


def rebuild(run: Path) -> tuple[Solver, dict[str, Any]]:
    """The solver of a run without its prior, and the configuration of the run.

    Raises:
        FileNotFoundError: if the folder holds no configuration.
        ValueError: if the run was not made by the command line.
    """
    file = run / "config.yaml"
    if not file.exists():
        raise MissingFileError(f"{file} does not exist; give the folder of a run (--writer.folder).")
    config: dict[str, Any] = yaml.safe_load(file.read_text())
    if "model" not in config:
        raise InvalidValueError(
            f"{run} was not made by the command line, so its solver is not known here; call "
            "dis_lightning.evaluate.evaluate(run, metrics, solver) with it."
        )
    shape = RunFolder(run).shape()
    prior = {"class_path": f"{UnreadPrior.__module__}.UnreadPrior", "init_args": {"shape": list(shape)}}
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Solver, "model", required=True)
    add_parts(parser)
    parts = {"model": config["model"], "operator": config["operator"], "denoiser": prior}
    if config["consistency"]:
        parts["consistency"] = prior
    built = parser.instantiate_classes(parser.parse_object(parts))
    solver: Solver = built["model"]
    return solver, config


def add_parts(parser: LightningArgumentParser) -> None:
    """Add what a solver is made of as keys of their own, and link them into it."""
    # Links are followed when classes are built: a link at parsing would build every network twice.
    for name, kind in {"operator": Operator, "denoiser": Denoiser, "consistency": Denoiser}.items():
        parser.add_subclass_arguments(kind, name, required=name != "consistency")
        parser.link_arguments(name, f"model.init_args.{name}", apply_on="instantiate")


def evaluate_command(args: list[str]) -> None:
    """The command line of `evaluate`.

    Args:
        args: the arguments after the command's name.
    """
    about = "Score a run again from its folder alone; without metrics, with those that it was scored with."
    parser = LightningArgumentParser(prog="dis-lightning evaluate", description=about, exit_on_error=False)
    parser.add_argument("--config", action=ActionConfigFile, help="files that name metrics, as in configs/callbacks")
    parser.add_argument("run", type=Path, help="the run folder")
    parser.add_argument("--trainer.callbacks", type=list[Callback] | None, help="the metrics")
    parser.add_argument("--device", type=torch.device, default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args(args)
    solver, config = rebuild(given.run)
    named = bool(given.trainer.callbacks)
    if not named:
        given.update(config["trainer"]["callbacks"] or [], "trainer.callbacks")
        given = parser.parse_object(given.as_dict())
    callbacks = parser.instantiate_classes(given).trainer.callbacks
    metrics = [callback for callback in callbacks if isinstance(callback, Metric)]
    if named and (others := [type(callback).__name__ for callback in callbacks if not isinstance(callback, Metric)]):
        raise InvalidValueError(
            f"{', '.join(others)} is no metric and has nothing to do where nothing is sampled; name metrics alone, "
            "such as --config configs/callbacks/y_mse.yaml, or give it to dis-lightning predict."
        )
    torch.set_num_threads(config["threads"])
    more = [] if named else default_metrics()
    summary = evaluate(given.run, [*metrics, *more], solver.to(given.device))
    print_summary(summary, given.run)
    if summary["images"] >= expected_images(given.run):
        report_command([str(given.run)])
