"""From the arguments of a command to its configuration: files come first, by their names, and options override them."""

import re
import sys
from argparse import ArgumentError
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from jsonargparse import Namespace

from dis_lightning.arguments.choices import find
from dis_lightning.arguments.parser import Parser, beneath, raised_in
from dis_lightning.errors import InvalidValueError

__all__ = ["read_arguments"]

PARSING = {*sys.stdlib_module_names, "jsonargparse", "yaml"}
"""What is at work where an argument is understood; an error that comes from elsewhere is no mistake in an argument."""


def read_arguments(parser: Parser, given: Sequence[str] | dict[str, Any]) -> Namespace:
    """Read the arguments of a command, or a configuration.

    Args:
        parser: the command's.
        given: words of a command line; or nested keys and values, as in a file given by `--config`.

    Raises:
        SystemExit: when help was asked for.
        ValueError: if an argument is wrong.
        Exception: whatever the import of a user's own file raises.
    """
    if not isinstance(given, dict):
        _help(given)
    try:
        return parser.parse_object(given) if isinstance(given, dict) else parser.parse_args(_files_first(given))
    except RecursionError as error:
        raise InvalidValueError(
            "An argument is nested deeper than any configuration: are there stray brackets?"
        ) from error
    except ArgumentError as error:
        refused = error
    first = beneath(refused)
    module = raised_in(first)
    if first is not refused and module.partition(".")[0] not in PARSING:
        raise first
    from dis_lightning.arguments.messages import translate

    said = translate(str(refused), parser.get_defaults(skip_validation=True).keys(branches=True))
    raise InvalidValueError(said + _too_early(said, given))


def _too_early(said: str, words: Sequence[str] | dict[str, Any]) -> str:
    """What to do where an argument stands before the class that it is meant for; nothing where it does not."""
    if isinstance(words, dict):
        return ""
    key, seen = said.partition(":")[0], False
    for word, value in zip_longest(words, words[1:]):
        name, equals, own = word.removeprefix("--").partition("=")
        kind = str(own if equals else value).rpartition(".")[2]
        if seen and key.startswith(f"{name}.") and f" {kind} has no argument" not in said:
            return f" If it is meant for {kind}, let it stand behind --{name}."
        seen = seen or name == key
    return ""


def _help(words: Sequence[str]) -> None:
    """Answer `--KEY.help` and `--KEY.help CLASS`, wherever it stands: the first one, and nothing else."""
    for word, after in zip_longest(words, words[1:]):
        if found := re.fullmatch(r"--([\w.]+)\.help(?:=(.*))?", word):
            name = found[2] or (None if after is None or after.startswith("-") else after)
            from dis_lightning.arguments.help import help_text  # late, as is what else knows all classes

            print(help_text(found[1], name))
            sys.exit(0)


def _files_first(words: Sequence[str]) -> list[str]:
    """Put `--config` before all options, and a file's path for its name."""
    files, options, rest = [], [], iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name not in ("-c", "--config"):
            options.append(word)
            continue
        value = value if equals else next(rest, "")
        if not value or value.startswith("--"):
            raise InvalidValueError("--config needs the name of a file, such as --config configs/solvers/dps.yaml.")
        files.append(f"--config={find(value)}")
    return [*files, *options]
