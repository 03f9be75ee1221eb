"""The command `dis-lightning evaluate`: score a finished run again from its folder alone."""

from collections.abc import Sequence
from typing import Any

from jsonargparse import ActionConfigFile  # type: ignore[attr-defined] # public, but not in its list

from dis_lightning.arguments.parser import Parser
from dis_lightning.arguments.reading import read_arguments
from dis_lightning.errors import UserError
from dis_lightning.files import expanded

__all__ = ["evaluate_command"]

USAGE = "dis-lightning evaluate RUN [--config FILE ...] [--device DEVICE]"


def evaluate_command(args: Sequence[str]) -> None:
    """The command line of `evaluate`.

    Args:
        args: the arguments after the command's name.
    """
    if {"-h", "--help"}.intersection(args):  # which needs no metric, and no more of them than their key
        read_arguments(_parser(list[Any] | None), args)
    from dis_lightning.commands.scoring import METRICS, score

    parser = _parser(METRICS)
    score(parser, read_arguments(parser, args))


def _parser(metrics: Any) -> Parser:
    about = "Score a run again from its folder alone; without metrics, with those that it was scored with."
    parser = Parser(prog="dis-lightning evaluate", usage=USAGE, description=about)
    parser.add_argument(
        "--config",
        action=ActionConfigFile,
        metavar="FILE",
        help="a file that names metrics; one that ships with the project by its name, such as callbacks/y_mse",
    )
    parser.add_argument("run", type=expanded, help="the run folder")
    parser.add_argument("--trainer.callbacks", type=metrics, help="the metrics; --trainer.callbacks.help lists all")
    parser.add_argument("--device", type=_device, help="where networks compute; a GPU where there is one, if not given")
    return parser


def _device(name: str) -> str:
    """A device that can be used.

    Raises:
        ValueError: if it cannot.
    """
    import torch

    try:
        probe = torch.zeros(1, device=name)
        probe.tolist()  # which `meta` cannot
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"device {name} cannot be used here; take cpu, or a device of this machine.") from error
    return str(probe.device)
