"""The command `dis-lightning sweep FILE`."""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from jsonargparse.typing import NonNegativeInt, PositiveInt

from dis_lightning.arguments.parser import Parser
from dis_lightning.arguments.reading import read_arguments
from dis_lightning.files import expanded
from dis_lightning.streams import say

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
    parser.add_argument(
        "file", type=str, metavar="FILE", help="the sweep's YAML file; one that ships by its name, such as sweeps/dps"
    )
    parser.add_argument("--output", type=expanded, default=Path("outputs/sweeps"), help="the folder of sweeps")
    parser.add_argument("--jobs", type=PositiveInt, default=1, help="processes at once")
    parser.add_argument("--seed", type=NonNegativeInt, default=0, help="of the draws of methods random and bayes")
    options = read_arguments(parser, args)
    from rich.console import Console  # late: the help does without
    from rich.markup import escape
    from rich.table import Table

    from dis_lightning.arguments.choices import locate
    from dis_lightning.errors import InvalidValueError
    from dis_lightning.runs.lock import held
    from dis_lightning.sweeps import read_sweep, run_trials, sweep_folder, write_results
    from dis_lightning.sweeps.results import short_keys, shown

    sweep = read_sweep(locate(options.file))
    folder = sweep_folder(sweep, options.output, options.seed)
    with held(folder, "--output", wait=False), _interrupted_once():
        trials = run_trials(sweep, folder, options.seed, options.jobs, lambda line: print(line, flush=True))
        found = write_results(sweep, trials)
    table = Table("trial", *map(escape, short_keys(sweep)), escape(sweep.metric), "standard error", "state")
    for trial, ending in found:
        cells = (*trial.values.values(), *ending.cells, ending.words)
        table.add_row(trial.folder.name, *(escape(shown(value)) for value in cells))
    Console().print(table)
    if found[0][1].entry is None:
        raise InvalidValueError(f"No trial has a value of {sweep.metric}; see the trials' logs in {folder}.")
    if failed := [trial.log for trial, ending in found if ending.words == "failed"]:
        print(f"Failed:   {len(failed)} of {len(found)} trials; the first says why in {failed[0]}")
    print(f"Best:     {folder / 'best.yaml'}")
    print(f"Report:   {folder / 'report.html'}")


@contextmanager
def _interrupted_once() -> Iterator[None]:
    """Within, what ends a process is as Ctrl-C, and the first alone counts: from then on trials are being ended."""

    def interrupt(*_: object) -> None:
        for number in taken:  # not SIG_IGN, which a trial would inherit that begins at this moment
            signal.signal(number, lambda *_: None)
        say("ending the trials that run")
        raise KeyboardInterrupt

    mine = threading.current_thread() is threading.main_thread()
    taken = {
        number: before
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if mine and (before := signal.getsignal(number)) in (signal.SIG_DFL, signal.default_int_handler)
    }
    for number in taken:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, before in taken.items():
            signal.signal(number, before)
