"""The command `dis-lightning merge RUN RUN ... --output DIR`: make one run of the shards of a data set."""

from collections.abc import Sequence

from dis_lightning.arguments.parser import Parser
from dis_lightning.arguments.reading import read_arguments
from dis_lightning.commands.evaluate import evaluate_command
from dis_lightning.files import expanded

__all__ = ["merge_command"]

USAGE = "dis-lightning merge RUN RUN ... --output DIR [--device DEVICE]"


def merge_command(args: Sequence[str]) -> None:
    """Merge runs, and score the whole as `dis-lightning evaluate` does.

    Args:
        args: the arguments after the command's name.

    Raises:
        FileNotFoundError: if a folder holds no run.
        ValueError: if the runs are not all shards of one run, or the output holds another run.
    """
    parser = Parser(prog="dis-lightning merge", usage=USAGE, description="Make one run of the shards of a data set.")
    parser.add_argument("runs", nargs="+", type=expanded, metavar="RUN", help="folder of the finished run of a shard")
    parser.add_argument("--output", type=expanded, required=True, help="folder of the whole run; new, or of this merge")
    parser.add_argument("--device", type=str, help="where networks of metrics compute; see dis-lightning evaluate")
    options = read_arguments(parser, args)
    from dis_lightning.runs.merging import merge  # late: the help does without

    merge(options.runs, options.output)
    evaluate_command([str(options.output), *([f"--device={options.device}"] if options.device else [])])
