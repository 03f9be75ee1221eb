"""What `dis-lightning evaluate` does: build the solver of a run again, without its prior, and score the run."""

from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from lightning import Callback
from torch import Tensor

from dis_lightning.arguments.building import build_solver, build_transform
from dis_lightning.arguments.messages import sufficient_memory
from dis_lightning.arguments.parser import Parser
from dis_lightning.arguments.reading import read_arguments
from dis_lightning.errors import InvalidValueError
from dis_lightning.metrics import default_metrics
from dis_lightning.metrics.base import Metric
from dis_lightning.priors import Denoiser
from dis_lightning.report import report
from dis_lightning.runs.configuration import LINKED, expected_images, require_configuration
from dis_lightning.runs.contents import contents, require_contents
from dis_lightning.runs.evaluation import evaluate
from dis_lightning.runs.folder import RunFolder
from dis_lightning.runs.table import print_summary
from dis_lightning.solvers import Solver
from dis_lightning.streams import quieten

__all__ = ["UnreadPrior", "score"]

METRICS = list[Callback] | Callback | None
"""The type of `--trainer.callbacks`."""

SCORED = ("model", "operator")
"""The parts of a run that scores depend on."""


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


def score(parser: Parser, given: Namespace) -> None:
    """Score a run, and say where its page is.

    Args:
        parser: the command's, which builds the metrics.
        given: its arguments: `run`, `device` and `trainer.callbacks`.

    Raises:
        FileNotFoundError: if there is no such run.
        ValueError: if it was not made by the command line, or a metric is none.
    """
    quieten()
    solver, config = _rebuild(given.run)
    folder = RunFolder(given.run)
    require_contents(folder, contents(_scored(config)))
    named = bool(given.trainer.callbacks)
    if not named:
        given.update(config["trainer"].get("callbacks") or [], "trainer.callbacks")
        given = read_arguments(parser, given.as_dict())
    callbacks = parser.instantiate_classes(given).trainer.callbacks or []
    callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
    metrics = [callback for callback in callbacks if isinstance(callback, Metric)]
    if named and (others := [type(callback).__name__ for callback in callbacks if not isinstance(callback, Metric)]):
        raise InvalidValueError(
            f"{', '.join(others)} is no metric and has nothing to do where nothing is sampled; name metrics alone, "
            "such as --config configs/callbacks/y_mse.yaml, or give it to dis-lightning predict."
        )
    if any(metric.needs_prior for metric in metrics):
        asked = {key: config[key] for key in LINKED if config.get(key)}
        require_contents(folder, contents(asked))
        solver = build_solver(_scored(config) | asked)
    torch.set_num_threads(config.get("threads", torch.get_num_threads()))
    more = [] if named else default_metrics()
    device = given.device or ("cuda" if torch.cuda.is_available() else "cpu")
    with sufficient_memory(f"the metrics do not fit on {device}; compute them elsewhere, such as --device cpu."):
        summary = evaluate(given.run, [*metrics, *more], solver.to(device), build_transform(config))
    print_summary(summary, folder)
    if summary["images"] >= expected_images(folder):
        print(f"Report:   {report([given.run], folder.page)}")


def _rebuild(run: Path) -> tuple[Solver, dict[str, Any]]:
    """The solver of a run without its prior, and the configuration of the run.

    Raises:
        FileNotFoundError: if the folder holds no configuration.
        ValueError: if the run was not made by the command line.
    """
    folder = RunFolder(run)
    config = require_configuration(folder)
    if not config.get("trainer"):
        raise InvalidValueError(
            f"{run} was not made by the command line, so its solver is not known here; call "
            "dis_lightning.runs.evaluate(run, metrics, solver) with it."
        )
    prior = {"class_path": f"{UnreadPrior.__module__}.UnreadPrior", "init_args": {"shape": list(folder.shape())}}
    parts = _scored(config) | {"denoiser": prior}
    if config.get("consistency"):
        parts["consistency"] = prior
    return build_solver(parts), config


def _scored(config: dict[str, Any]) -> dict[str, Any]:
    return {key: config[key] for key in SCORED if key in config}
