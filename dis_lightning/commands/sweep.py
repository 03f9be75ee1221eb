"""The command `dis-lightning sweep FILE`."""

import signal
from collections.abc import Sequence
from pathlib import Path

from jsonargparse.typing import PositiveInt

from dis_lightning.commands.parser import Parser
from dis_lightning.commands.reading import read_arguments
from dis_lightning.files import expanded

__all__ = ["sweep_command"]

USAGE = "dis-lightning sweep FILE [--output DIR] [--jobs N] [--seed N]"


def sweep_command(args: Sequence[str]) -> None:
    """Run the trials of a sweep that are not finished, and say what all have found.

    Args:
        args: the arguments after `sweep`.

    Raises:
        FileNotFoundError: if the file is not there.
        ValueError: if it is no sweep, or no trial has the metric.
    """
    about = "Run a sweep as W&B writes it, without a server. The same command goes on where it was cut off."
    parser = Parser(prog="dis-lightning sweep", usage=USAGE, description=about)
    parser.add_argument("file", type=expanded, metavar="FILE", help="the sweep's YAML file")
    parser.add_argument("--output", type=expanded, default=Path("outputs/sweeps"), help="the folder of sweeps")
    parser.add_argument("--jobs", type=PositiveInt, default=1, help="processes at once")
    parser.add_argument("--seed", type=int, default=0, help="of the draws of methods random and bayes")
    options = read_arguments(parser, args)
    from rich.console import Console  # late: the help does without
    from rich.table import Table

    from dis_lightning.errors import InvalidValueError
    from dis_lightning.sweeps import read_sweep, run_trials, sweep_folder, write_results

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)  # as Ctrl-C: the trials that run are ended too
    sweep = read_sweep(options.file)
    folder = sweep_folder(sweep, options.output, options.seed)
    trials = run_trials(sweep, folder, options.seed, options.jobs, lambda line: print(line, flush=True))
    found = write_results(sweep, trials)
    table = Table("trial", *sweep.parameters, sweep.metric, "standard error")
    for trial, ending in found:
        numbers = (ending.entry["mean"], ending.entry["standard_error"]) if ending.entry else (None, None)
        cells = ["" if value is None else f"{value:.4g}" for value in numbers]
        table.add_row(trial.folder.name, *map(str, trial.values.values()), *cells)
    Console().print(table)
    if found[0][1].entry is None:
        raise InvalidValueError(f"No trial has {sweep.metric}; see the trials' logs in {folder}, and metric.name.")
    print(f"Best:     {folder / 'best.yaml'}")
    print(f"Report:   {folder / 'report.html'}")
