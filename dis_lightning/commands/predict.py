"""The command `dis-lightning predict`: reconstruct images, and write a run folder with its page."""

import inspect
import os
from argparse import SUPPRESS
from collections.abc import Sequence
from pydoc import locate
from typing import Any, cast

import torch
import yaml
from jsonargparse import ActionConfigFile  # type: ignore[attr-defined] # public, but not in its list
from jsonargparse.typing import PositiveInt
from lightning import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher

from dis_lightning.arguments.messages import fewer_rows, sufficient_memory
from dis_lightning.arguments.parser import Parser, raised_in
from dis_lightning.arguments.parts import PARTS, add_parts
from dis_lightning.arguments.reading import read_arguments
from dis_lightning.arguments.trainer import add_trainer, refused, repeat_bits
from dis_lightning.callbacks import SamplingProgress, Termination, Writer
from dis_lightning.data import ImageData
from dis_lightning.errors import InvalidTypeError, InvalidValueError, require_whole
from dis_lightning.metrics import default_metrics
from dis_lightning.processes.meeting import require_slurm_tasks, waiting_aloud
from dis_lightning.report import report
from dis_lightning.runs.configuration import MOST_THREADS
from dis_lightning.solvers import Solver
from dis_lightning.streams import quieten

__all__ = ["predict_command", "run"]

ABOUT = """Reconstruct images, and write a run folder with its page.

A run is put together from files and options, in any order: an option always overrides the files, and a later file an
earlier one; one that names no class, but arguments of it, goes after the one that does. Files that ship with the
project are found from any folder; one of the same path in the current folder goes first. Classes of your own are found
in the current folder, too: --model own.MySolver."""

USAGE = "dis-lightning predict [--config FILE ...] [--KEY VALUE ...]"


class RunParser(Parser, LightningArgumentParser):
    """The parser of `predict`, as Lightning's command line needs it."""


class CommandLine(LightningCLI):
    """`predict`, with the parts of a run as top-level keys."""

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Make the parser; files are found by name before it sees them."""
        parser = RunParser(prog="dis-lightning predict", usage=USAGE, description=ABOUT, **kwargs)
        parser.add_argument(
            "-c",
            "--config",
            action=ActionConfigFile,
            metavar="FILE",
            help="a YAML file, or one that ships with the project: configs/solvers/dps.yaml or, for short, solvers/dps",
        )
        return parser

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Tell who seeds everything what to do instead."""
        seed = refused("seed_everything", False, "noise is keyed by the solver's own seed (--model.seed)")
        parser.add_argument("--seed_everything", type=seed, default=False, help=SUPPRESS)

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the parts of a run, the writer, and what a prediction takes of the trainer's arguments."""
        add_parts(parser, *PARTS)
        parser.add_lightning_class_args(Writer, "writer")
        parser.add_argument(
            "--threads",
            type=PositiveInt,
            default=1,
            help="CPU threads of each process. Another number of threads rounds sums differently, while the number of "
            "processes (--trainer.devices) changes nothing.",
        )
        add_trainer(parser)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Read the arguments, or a configuration."""
        self.config = read_arguments(cast(Parser, parser), args)

    def before_instantiate_classes(self) -> None:
        """Check what links hide, and set the threads before anything is computed: priors may be fitted when built."""
        if "devices" not in self.config.trainer:
            raise InvalidTypeError("trainer needs keys, but got none (null); leave it out for its defaults.")
        solver, devices = self.config.model.class_path, self.config.trainer.devices
        if isinstance(devices, list) or str(devices).isdigit():  # otherwise the writer sees what they come to
            each = len(devices) if isinstance(devices, list) else int(devices)
            require_slurm_tasks(each * self.config.trainer.num_nodes)
        if self.config.consistency and "consistency" not in inspect.signature(cast(type, locate(solver))).parameters:
            raise InvalidValueError(f"{solver} takes no `consistency`; leave it out, or give it as `denoiser`.")
        require_whole("A run", 1, MOST_THREADS, threads=self.config.threads)
        torch.set_num_threads(self.config.threads)
        # Otherwise Lightning divides the cores by the number of processes.
        os.environ["OMP_NUM_THREADS"] = str(self.config.threads)
        self.trainer_defaults["callbacks"] = [*default_metrics(), Termination()]
        if self.config.trainer.enable_progress_bar is not False:
            self.trainer_defaults["callbacks"].append(SamplingProgress())

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer; what it has against its arguments is the user's to mend."""
        try:
            trainer: Trainer = super().instantiate_trainer(**kwargs)
        except (ImportError, TypeError, ValueError) as error:
            if not raised_in(error).startswith("lightning."):
                raise
            raise InvalidValueError(f"trainer: {error}") from error
        if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
            raise InvalidValueError(
                f"trainer.strategy {self.config.trainer.strategy} starts processes that cannot share a run folder; "
                "take ddp."
            )
        repeat_bits(trainer, self.config.trainer.deterministic, self.config.trainer.benchmark)
        return trainer

    def run(self) -> None:
        """Run, let the writer keep the whole configuration in the run folder, and put the report page there."""
        writer = self.config_init["writer"]
        writer.configuration = yaml.safe_load(self.parser.dump(self.config, skip_unset=False))
        rows = fewer_rows(self.datamodule.batch_size, self.model.rows_per_image)
        with sufficient_memory(rows), waiting_aloud(self.trainer):
            self.trainer.predict(self.model, datamodule=self.datamodule, return_predictions=False)
        if self.trainer.is_global_zero:
            print(f"Report:   {report([writer.folder.path], writer.folder.page)}")


def predict_command(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: the arguments after its name.
    """
    run(list(args))


def run(configuration: dict[str, Any] | list[str]) -> None:
    """Do what `dis-lightning predict` does, from Python.

    Args:
        configuration: what a file given by `--config` holds, as nested dictionaries; or arguments of the command.
    """
    quieten()
    line = CommandLine(
        Solver,
        ImageData,
        save_config_callback=None,  # the writer does it, and compares
        subclass_mode_model=True,
        subclass_mode_data=True,
        auto_configure_optimizers=False,
        load_from_checkpoint_support=False,
        args=configuration,
        run=False,
    )
    line.run()
