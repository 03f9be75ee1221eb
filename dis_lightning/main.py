"""The command line: `dis-lightning COMMAND`: `predict`, `sweep`; `evaluate`, `report`, `merge` of runs; `convert`."""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper

from dis_lightning import __version__
from dis_lightning.errors import UserError
from dis_lightning.processes.parents import exit_with_parent
from dis_lightning.spelling import nearest
from dis_lightning.streams import fails, is_full, lost, say, silence, unread

__all__ = ["main"]

COMMANDS = {
    "predict": "reconstruct images, and write a run folder with its page",
    "evaluate": "score a finished run again from its folder alone",
    "report": "put finished runs side by side on one page",
    "merge": "make one run of the shards of a data set",
    "sweep": "run a sweep over parameters without a server",
    "convert": "write any network that can be read to a plain file",
}
"""What there is, each in a file of `dis_lightning.commands`, which takes seconds to import."""

HELP = f"""usage: dis-lightning COMMAND [ARGUMENTS]

Training-free diffusion inverse solvers.

commands:
{chr(10).join(f"  {name:10}{about}" for name, about in COMMANDS.items())}

dis-lightning COMMAND --help shows the arguments of one, dis-lightning --version the version.
To begin: dis-lightning predict --config quickstart
"""

FULL = (
    "the disk is full that a log, or what this command says, is written to. Make room there; the same command goes on "
    "from the images that are finished."
)

REPORT = (
    "this is an error of the program, or of a class of your own where the traceback ends in one, not of "
    "the command. If it is the program's, please report it with what follows and the command. Finished images are "
    "kept; the same command goes on from them."
)


def main(args: list[str] | None = None) -> None:
    """Run the command line.

    Args:
        args: the arguments, `sys.argv[1:]` if not given.

    Raises:
        SystemExit: with status 2 and one message on a user's mistake. The environment variable `DIS_LIGHTNING_DEBUG`
            shows the traceback instead.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names may have letters that a terminal does not know
    with suppress(FileNotFoundError):  # a folder that was removed
        if not sys.flags.safe_path and os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())  # classes of one's own are found there, and hide nothing that is installed
    try:
        try:
            _command(sys.argv[1:] if args is None else args)
        finally:
            if sys.stdout is not None:  # as it is where the shell has closed it
                sys.stdout.flush()
    except BrokenPipeError:
        if not (streams := lost(unread)):
            raise
        silence(streams)
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        if not is_full(error):
            raise
        say(FULL)
        silence(lost(fails))
        sys.exit(2)


def _command(args: Sequence[str]) -> None:
    name, *rest = args or ["--help"]
    if name in ("--help", "-h"):
        print(HELP, end="")
        sys.exit(0 if args else 2)
    if name == "--version":
        print(f"dis-lightning {__version__}")
        return
    if name not in COMMANDS:
        order = "the command comes first, as in dis-lightning predict --config FILE. " if name.startswith("-") else ""
        meant = nearest(name, COMMANDS)
        say(f"there is no command {name!r}. {order}{meant}Commands: {', '.join(COMMANDS)}.")
        sys.exit(2)
    if name == "predict":
        exit_with_parent()
    try:
        module = import_module(f"dis_lightning.commands.{name}")
        getattr(module, f"{name}_command")(rest)
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(128 + signal.SIGINT)
    except SystemExit as ending:
        if isinstance(ending.__context__, KeyboardInterrupt):  # Lightning ends with 1
            sys.exit(128 + signal.SIGINT)
        raise
    except Exception as error:
        if isinstance(error, BrokenPipeError) or is_full(error):
            raise
        from dis_lightning.processes.meeting import own_name, said_already

        if said_already(error):
            sys.exit(2)
        message = str(error) if isinstance(error, UserError) else _explain(error)
        if message is None:
            say(REPORT)
            raise
        if os.environ.get("DIS_LIGHTNING_DEBUG"):
            raise
        say(f"{own_name()}{message}")
        sys.exit(2)


def _explain(error: Exception) -> str | None:
    from dis_lightning.arguments.messages import explain  # late, for it knows all classes

    return explain(error)
