"""The command line: `dis-lightning predict --config ...`, and `evaluate` and `report` for runs that are finished.

A run is put together from the top-level keys `data`, `operator`, `denoiser`, `consistency` and `model` (the solver),
one small file each, in any order; the solver receives the parts by links.
"""

import inspect
import logging
import os
import signal
import sys
import warnings
from argparse import ArgumentError
from inspect import isabstract
from pydoc import locate
from typing import Any, cast

import torch
import yaml
from jsonargparse.typing import PositiveInt
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

# Importing the packages makes the names of their classes known to configurations.
from dis_lightning import callbacks, data, levels, operators, priors, rooms, solvers, transitions  # noqa: F401
from dis_lightning.callbacks import SamplingProgress, Termination, Writer, default_metrics
from dis_lightning.callbacks.termination import exit_with_parent
from dis_lightning.data import ImageData
from dis_lightning.errors import UserError
from dis_lightning.evaluate import add_parts, evaluate_command
from dis_lightning.operators import Operator
from dis_lightning.priors import Denoiser
from dis_lightning.report.command import report_command
from dis_lightning.solvers import Solver

__all__ = ["main"]

PARTS = {
    "data": (ImageData, data, "configs/data"),
    "operator": (Operator, operators, "configs/operators"),
    "denoiser": (Denoiser, priors, "configs/priors"),
    "consistency": (Denoiser, priors, "configs/priors"),
    "model": (Solver, solvers, "configs/solvers"),
}
"""The parts of a run: what they are, where their classes are, and where the project keeps a file for each choice."""

COMMANDS = {"evaluate": evaluate_command, "report": report_command}
"""What there is beside `predict`; each takes the arguments after its name."""

NOISE = (
    "Does not validate against",
    "- Does not validate against",
    "Subtypes:",
    "Errors:",
    "- Expected a <class 'None",
    "- Expected a path but",
)
"""How lines begin that a parser adds to a message and that help nobody."""


REPORT = (
    "dis-lightning: this is an error of the program, not yours. Please report it with what follows and the command. "
    "Finished images are kept; the same command goes on from them."
)


class CommandLine(LightningCLI):
    """`predict`, with the parts of a run as top-level keys."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Prediction only: nothing is trained here."""
        return {"predict": {"model", "dataloaders", "datamodule", "return_predictions", "ckpt_path", "weights_only"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the parts and link them into the solver."""
        add_parts(parser)
        parser.add_lightning_class_args(Writer, "writer")
        parser.add_argument(
            "--threads",
            type=PositiveInt,
            default=1,
            help="CPU threads of each process. Another number of threads rounds sums differently, so it belongs to the "
            "run, while the number of processes (--trainer.devices) does not.",
        )

    def before_instantiate_classes(self) -> None:
        """Check what links hide, and set the threads before anything is computed: priors may be fitted when built."""
        config = self.config[self.subcommand]
        solver = config.model.class_path
        if config.consistency and "consistency" not in inspect.signature(cast(type, locate(solver))).parameters:
            raise ArgumentError(None, f"{solver} takes no `consistency`; leave it out, or give it as `denoiser`.")
        torch.set_num_threads(config.threads)
        # Otherwise Lightning divides the cores by the number of processes.
        os.environ["OMP_NUM_THREADS"] = str(config.threads)
        if config.trainer.enable_progress_bar is not False:
            self.trainer_defaults["callbacks"].append(SamplingProgress())

    def instantiate_classes(self) -> None:
        """Build the parts; the parser wraps what they raise in all that it tried, which is taken off here."""
        try:
            super().instantiate_classes()
        except ValueError as error:
            cause: BaseException = error
            while cause.__cause__ is not None and not isinstance(cause, UserError):
                cause = cause.__cause__
            raise cause from None

    def predict(self, **arguments: Any) -> None:
        """Run, let the writer keep the whole configuration in the run folder, and put the report page there."""
        parser, config = self._parser(self.subcommand), self.config[self.subcommand]
        writer = self._get(self.config_init, "writer")
        writer.configuration = yaml.safe_load(parser.dump(config, skip_none=False))
        self.trainer.predict(self.model, datamodule=self.datamodule, return_predictions=False)
        if self.trainer.is_global_zero:
            report_command([str(writer.folder.path)])


def main(args: list[str] | None = None) -> None:
    """Run the command line.

    Args:
        args: the arguments, `sys.argv[1:]` if not given.

    Raises:
        SystemExit: with status 2 and one message on a user's mistake. The environment variable `DIS_LIGHTNING_DEBUG`
            shows the traceback instead.
    """
    exit_with_parent()
    _quieten()
    command, *rest = (sys.argv[1:] if args is None else args) or [""]
    try:
        if command in COMMANDS:
            COMMANDS[command](rest)
        else:
            _predict(args)
    except KeyboardInterrupt:
        print("dis-lightning: interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        message = _explain(error)
        if message is None:
            print(REPORT, file=sys.stderr)
            raise
        if os.environ.get("DIS_LIGHTNING_DEBUG"):
            raise
        print(f"dis-lightning: {message}", file=sys.stderr)
        sys.exit(2)


def _predict(args: list[str] | None) -> None:
    CommandLine(
        Solver,
        ImageData,
        save_config_callback=None,  # the writer does it, and compares
        subclass_mode_model=True,
        subclass_mode_data=True,
        auto_configure_optimizers=False,
        load_from_checkpoint_support=False,
        seed_everything_default=False,  # noise is keyed by the solver's own seed
        parser_kwargs={
            "exit_on_error": False,
            "description": "Training-free diffusion inverse solvers.",
            "epilog": f"other commands: {', '.join(COMMANDS)}; see dis-lightning COMMAND --help",
            "predict": {"exit_on_error": False},
        },
        trainer_defaults={
            "inference_mode": False,  # guidance takes gradients
            "use_distributed_sampler": False,  # the data deals whole batches to processes itself
            "devices": 1,  # more are asked for: every process needs a batch
            "logger": False,
            "enable_checkpointing": False,
            "enable_model_summary": False,
            "callbacks": [*default_metrics(), Termination()],
        },
        args=args,
    )


def _quieten() -> None:
    """Leave out what Lightning says of itself: its tips, and that it finds no TPU."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # lightning 2.6 still calls torch 2.15 and jsonargparse 4.53 in old ways; nothing a user could do.
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    warnings.filterwarnings("ignore", "`isinstance\\(treespec, LeafSpec\\)` is deprecated")
    # `main` is called by other programs too, which have arguments of their own.
    warnings.filterwarnings("ignore", "LightningCLI's args parameter is intended")


def _explain(error: Exception) -> str | None:
    """The message for a user's mistake, or None for an error of the program, which needs its traceback."""
    if isinstance(error, ArgumentError | MisconfigurationException):
        return _remedy(str(error))
    return str(error) if isinstance(error, UserError) else None


def _remedy(message: str) -> str:
    """Shorten a parser's message and say what to do."""
    told, _, _ = message.partition("Given value type:")  # what follows prints all parts, however large
    lines = [line for line in told.splitlines() if line.strip() and not line.strip().startswith(NOISE)]
    for key, (kind, package, folder) in PARTS.items():
        if f"predict.{key}" in message or f'"{key}"' in message:
            public = {name: getattr(home, name) for home in (package, rooms) for name in home.__all__}
            names = [n for n, c in public.items() if inspect.isclass(c) and issubclass(c, kind) and not isabstract(c)]
            if "is not accepted" not in message:
                lines.append(
                    f"Give `{key}` by --config {folder}/NAME.yaml or --{key} CLASS, CLASS one of {', '.join(names)};"
                )
            lines.append(f"see --{key}.help CLASS for its arguments.")
    return "\n".join(lines)
