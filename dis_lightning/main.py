"""The command line: `dis-lightning predict --config ...`, and `evaluate` and `report` for runs that are finished."""

import logging
import os
import signal
import sys
import warnings

from dis_lightning.callbacks.termination import exit_with_parent
from dis_lightning.commands import evaluate_command, predict_command, report_command
from dis_lightning.commands.messages import explain
from dis_lightning.processes import own_name, said_already

__all__ = ["main"]

COMMANDS = {"evaluate": evaluate_command, "report": report_command}
"""What there is beside `predict`; each takes the arguments after its name."""

REPORT = (
    "dis-lightning: this is an error of the program, not yours. Please report it with what follows and the command. "
    "Finished images are kept; the same command goes on from them."
)


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
            predict_command(args, f"other commands: {', '.join(COMMANDS)}; see dis-lightning COMMAND --help")
    except KeyboardInterrupt:
        print("dis-lightning: interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except SystemExit as ending:
        if isinstance(ending.__context__, KeyboardInterrupt):  # Lightning ends with 1
            sys.exit(128 + signal.SIGINT)
        raise
    except Exception as error:
        if said_already(error):
            sys.exit(2)
        message = explain(error)
        if message is None:
            print(REPORT, file=sys.stderr)
            raise
        if os.environ.get("DIS_LIGHTNING_DEBUG"):
            raise
        print(f"dis-lightning: {own_name()}{message}", file=sys.stderr)
        sys.exit(2)


def _quieten() -> None:
    """Leave out what Lightning says of itself: its tips, and that it finds no TPU."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # lightning 2.6 still calls torch 2.15 and jsonargparse 4.53 in old ways; nothing a user could do.
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    warnings.filterwarnings("ignore", "`isinstance\\(treespec, LeafSpec\\)` is deprecated")
    # `main` is called by other programs too, which have arguments of their own.
    warnings.filterwarnings("ignore", "LightningCLI's args parameter is intended")
