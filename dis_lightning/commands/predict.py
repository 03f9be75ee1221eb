"""The command `dis-lightning predict`: reconstruct images, and write a run folder with its page."""

import inspect
import os
from argparse import ArgumentError
from pydoc import locate
from typing import Any, cast

import torch
import yaml
from jsonargparse.typing import PositiveInt
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from dis_lightning.callbacks import SamplingProgress, Termination, Writer
from dis_lightning.commands.parts import add_parts
from dis_lightning.data import ImageData
from dis_lightning.errors import UserError
from dis_lightning.metrics import default_metrics
from dis_lightning.processes import require_slurm_tasks, waiting_aloud
from dis_lightning.report import report
from dis_lightning.solvers import Solver

__all__ = ["predict_command", "run"]


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
        devices = config.trainer.devices
        if isinstance(devices, list) or str(devices).isdigit():  # otherwise the writer sees what they come to
            each = len(devices) if isinstance(devices, list) else int(devices)
            require_slurm_tasks(each * config.trainer.num_nodes)
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
        with waiting_aloud(self.trainer):
            self.trainer.predict(self.model, datamodule=self.datamodule, return_predictions=False)
        if self.trainer.is_global_zero:
            print(f"Report:   {report([writer.folder.path], writer.folder.page)}")


def predict_command(args: list[str] | None, others: str = "") -> None:
    """Run the command.

    Args:
        args: the arguments, from the name of the command on; those of the process if not given.
        others: a line on other commands, for its help.
    """
    _run(args, others)


def run(configuration: dict[str, Any]) -> None:
    """Do what `dis-lightning predict` does, from Python.

    Args:
        configuration: what a file given by `--config` holds, as nested dictionaries.
    """
    _run({"subcommand": "predict", "predict": configuration})


def _run(args: list[str] | dict[str, Any] | None, more: str = "") -> None:
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
            "epilog": more,
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
