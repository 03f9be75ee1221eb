"""The callbacks of a trainer, found by their kind."""

from typing import TypeVar

from lightning import Callback, Trainer

__all__ = ["callbacks_of"]

Kind = TypeVar("Kind", bound=Callback)


def callbacks_of(trainer: Trainer, kind: type[Kind]) -> list[Kind]:
    """The trainer's callbacks of a kind, in their order."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined] # set by Lightning out of mypy's sight
    return [callback for callback in callbacks if isinstance(callback, kind)]
