"""The argument parser of the commands: no null without a meaning, errors as they were raised, a brief help."""

import argparse
import inspect
import traceback
from collections.abc import Callable
from typing import Any

from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

__all__ = ["Parser", "beneath", "raised_in"]


class Parser(ArgumentParser):
    """The parser of every command, and of the arguments of every class that a configuration names.

    Args:
        **arguments: see `jsonargparse.ArgumentParser`.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**{"exit_on_error": False, "allow_abbrev": False, "formatter_class": BriefHelp, **arguments})

    def validate(self, namespace: Namespace, *args: Any, **more: Any) -> None:
        """Check all values; null too, which the parser's own check takes for a value that was not given."""
        super().validate(namespace, *args, **more)
        defaults = self.get_defaults(skip_validation=True)
        for key, value in namespace.items():
            if value is None and defaults.get(key) is not None:
                super().validate(Namespace({key: None}), skip_unset=False, skip_required=True)  # type: ignore[no-untyped-call] # has no types

    def instantiate_classes(self, cfg: Any, **more: Any) -> Any:
        """Build the classes of a configuration.

        Raises:
            Exception: what a class has raised, as it was; the parser would wrap it in all that it tried.
        """
        failures: list[Exception] = []

        def construct(kind: Callable[..., Any], *args: Any, **arguments: Any) -> Any:
            try:
                return kind(*args, **arguments)
            except Exception as error:
                failures.append(error)
                raise

        try:
            return self.instantiate(cfg, instantiators=[(construct, object, True)], **more)
        except Exception as error:
            failure = failures[-1] if failures else beneath(error)
        raise failure


class BriefHelp(DefaultHelpFormatter):
    """Help without the lists of all classes, which `--KEY.help` gives, and without long types."""

    def _get_help_string(self, action: argparse.Action) -> str:
        if action.metavar == "CLASS":
            return f"{action.help}; --{action.dest}.help lists all"
        told, known, classes = super()._get_help_string(action).partition(", known subclasses: ")
        lists = f"; --{action.dest}.help lists all)" if not classes.startswith("torch.") else ")"
        return told + lists if known else told

    def _get_type_str(self, action: argparse.Action) -> str | None:
        kind = super()._get_type_str(action)
        return None if kind is None or len(kind) > 40 or inspect.isfunction(action.type) else kind

    def _format_action(self, action: argparse.Action) -> str:
        hidden = type(action).__name__ in ("_ActionHelpClassPath", "_ActionConfigLoad", "ActionLink")
        return "" if hidden else super()._format_action(action)


def beneath(error: BaseException) -> BaseException:
    """What a parser's error was raised from: in the end, an error of other code or the parser's first."""
    while error.__cause__ is not None and raised_in(error).partition(".")[0] == "jsonargparse":
        error = error.__cause__
    return error


def raised_in(error: BaseException) -> str:
    """The name of the module in which an error was raised."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return str(frames[-1].f_globals.get("__name__", "")) if frames else ""
