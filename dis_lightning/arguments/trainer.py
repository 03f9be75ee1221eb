"""What a prediction takes of the trainer's arguments, and what is told who gives one of training."""

import inspect
import os
from argparse import SUPPRESS
from collections.abc import Callable

import torch
from jsonargparse import ArgumentParser
from lightning import Trainer

from dis_lightning.errors import UserError

__all__ = ["add_trainer", "refused", "repeat_bits"]

TAKEN = {
    "accelerator": "what computes: cpu, gpu, mps ...",
    "strategy": "how several processes work together, such as ddp",
    "devices": "processes on each host: a number, a list of devices, or auto for all",
    "num_nodes": "hosts",
    "precision": "stays at 32-true; a network has a precision of its own (--denoiser.dtype)",
    "callbacks": "metrics beside those that every run has, and films: the files configs/callbacks",
    "logger": "where numbers and pictures go to: the files configs/loggers",
    "enable_progress_bar": "whether to show one",
    "deterministic": "whether a GPU gives the same bits each time; unless false it does, or says why it cannot",
    "benchmark": "whether cuDNN looks for its fastest kernels first",
    "profiler": "what measures the time of every step: simple, advanced or pytorch",
    "detect_anomaly": "whether to stop at the first gradient that is not finite",
    "plugins": "what Lightning knows of a cluster, for example",
    "default_root_dir": "where loggers write that are given no folder",
}
"""Arguments that have a meaning here, and which."""

DEFAULTS = {
    "inference_mode": False,  # guidance takes gradients
    "use_distributed_sampler": False,  # the data deals whole batches to processes itself
    "devices": 1,  # more are asked for: every process needs a batch
    "logger": False,
    "enable_checkpointing": False,
    "enable_model_summary": False,
}
"""What the trainer is given here unless the user says otherwise."""

INSTEAD = {
    "limit_predict_batches": "a run folder holds all images of its data; take fewer of them (--data.num_images)",
    "fast_dev_run": "take few images instead (--data.num_images)",
    "inference_mode": "guidance takes gradients; leave it out",
    "use_distributed_sampler": "the data deals its batches to processes itself; leave it out",
}
"""Why arguments that are not of training are not taken either."""


def add_trainer(parser: ArgumentParser) -> None:
    """Add the trainer's arguments as `--trainer.NAME`."""
    defaults = {name: one.default for name, one in inspect.signature(Trainer).parameters.items()} | DEFAULTS
    others = defaults.keys() - TAKEN.keys()
    parser.add_class_arguments(
        Trainer, "trainer", skip={*others}, fail_untyped=False, instantiate=False, sub_configs=True
    )
    parser.set_defaults({f"trainer.{name}": default for name, default in DEFAULTS.items() if name in TAKEN})
    assert parser.groups is not None
    parser.groups["trainer"].title = "What Lightning's trainer takes for a prediction"
    for action in parser._actions:
        action.help = TAKEN.get(action.dest.removeprefix("trainer."), action.help)
    for name in sorted(others):
        reason = INSTEAD.get(name, "nothing is trained here; leave it out")
        kind = refused(f"trainer.{name}", defaults[name], reason)
        parser.add_argument(f"--trainer.{name}", type=kind, default=defaults[name], help=SUPPRESS)


def repeat_bits(trainer: Trainer, deterministic: bool | str | None, benchmark: bool | None) -> None:
    """Let a GPU give the same bits each time, unless the user has said anything about it.

    Operations that cannot are refused: with a warning instead, PyTorch's attention does not even try.

    Args:
        trainer: what computes.
        deterministic: what the user said.
        benchmark: likewise; the fastest kernels of one run may not be those of the next.
    """
    if trainer.strategy.root_device.type != "cuda":
        return
    if deterministic is None and not benchmark:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first product is computed
        torch.use_deterministic_algorithms(True)
    if torch.are_deterministic_algorithms_enabled():
        # Memory that nobody has written to yet is nobody's result, and filling it costs time.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def refused(key: str, default: object, reason: str) -> Callable[[object], object]:
    """The type of an argument that is not offered.

    It takes the default, which stands in the configurations of older runs, and refuses everything else.

    Args:
        key: the argument's.
        default: its only value.
        reason: why, and what to do instead.
    """

    def check(value: object) -> object:
        if str(value).lower() not in (str(default).lower(), "null" if default is None else ""):
            raise UserError(f"{key} is not taken: {reason}.")
        return default

    return check
