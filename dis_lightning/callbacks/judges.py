"""Judges: operators that look at the samples in place of the run's own, or beside it."""

from textwrap import shorten
from typing import Any

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError
from dis_lightning.metrics.features import weights_digest
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import LabelOperator, Operator, TextOperator, tensor
from dis_lightning.solvers.base import Solver

__all__ = ["asked", "ready"]


def asked(operator: Operator | None) -> dict[str, Any]:
    """Who looks at the samples, for a definition: class, arguments, networks and the digest of their weights."""
    if operator is None:
        return {}
    return {
        "judge": f"{type(operator).__name__}({operator.extra_repr()})",
        "networks": [type(part).__name__ for part in operator.children()],
        "weights_tensors_sha256": weights_digest(operator),
    }


def ready(judge: Operator, solver: Solver, device: torch.device) -> None:
    """Read a judge, and refuse one that measures something else than the run: not the same classes, numbers or words.

    Args:
        judge: the run's own operator, or another.
        solver: the run's solver; a blank image of its prior's shape is measured.
        device: where the judge is needed.

    Raises:
        ValueError: if the judge measures something else than the run's own operator.
    """
    judge.load(device)
    judge.to(device).requires_grad_(False).eval()
    if judge is not solver.operator:
        _require_same_kind(judge, solver, device)


@torch.no_grad()
def _require_same_kind(judge: Operator, solver: Solver, device: torch.device) -> None:
    own = solver.operator
    own.load(device)
    blank = torch.zeros(1, *solver.denoiser.shape, device=device)
    (classes, shape), (own_classes, own_shape) = _kind(judge, blank), _kind(own.to(device), blank)
    if (classes, shape) != (own_classes, own_shape):
        raise InvalidValueError(
            f"{type(judge).__name__} cannot judge this run: it measures {_told(classes, shape)}, and the run's "
            f"{type(own).__name__} {_told(own_classes, own_shape)}. Give the metric a judge that measures the same, or "
            "take it out of the callbacks."
        )


def _kind(operator: Operator, blank: Tensor) -> tuple[tuple[str, ...], tuple[int, ...] | None]:
    """Names of the classes that are measured, if any, and the shape of a measurement; None for words."""
    if isinstance(operator, TextOperator):
        return (), None
    y = tensor(operator.measure(blank, NoiseSource(0, [0], blank.device)))
    return operator.classes if isinstance(operator, LabelOperator) else (), tuple(y.shape[1:])


def _told(classes: tuple[str, ...], shape: tuple[int, ...] | None) -> str:
    """A kind of measurement, for people."""
    if shape is None:
        return "words"
    size = " x ".join(map(str, shape))
    if not classes:
        return f"{size} numbers"
    named = f"{len(classes)} classes ({shorten(', '.join(classes), 50, placeholder=' ...')})"
    return f"{named} at {size} positions" if shape else f"{named} of whole pictures"
