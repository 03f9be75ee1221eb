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
    raise InvalidValueError(said + _too_early(said.partition(":")[0], given))


def _too_early(key: str, words: Sequence[str] | dict[str, Any]) -> str:
    """What to do where an argument stands before the class that it is meant for; nothing where it does not."""
    names = [word.partition("=")[0].removeprefix("--") for word in words if word.startswith("--")]
    after = names[names.index(key) + 1 :] if key in names else []
    owner = next((name for name in after if key.startswith(f"{name}.")), None)
    return "" if owner is None else f" If it is meant for the class of --{owner}, let it stand behind that."


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
