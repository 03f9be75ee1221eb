"""Judges: operators that look at the samples in place of the run's own, or beside it."""

from textwrap import shorten
from typing import Any

import torch
from torch import Tensor

from dis_lightning.described import Described
from dis_lightning.digests import weights_digest
from dis_lightning.errors import InvalidValueError, require_not_negative
from dis_lightning.metrics.base import Metric
from dis_lightning.metrics.functional.overlap import confusion
from dis_lightning.metrics.per_sample import sample_rows
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import LabelOperator, Operator, TextOperator, tensor
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Reconstruction, repeat
from dis_lightning.weights import LazyNetwork

__all__ = ["Judge", "Judged", "asked", "ready"]


class Judge(Described):
    """Who says which classes the samples show.

    Args:
        operator: a network's view of an image; by default the run's own operator. Another network than the one that
            guided is a fairer judge.
        noise_std: standard deviation of the noise that is added to the samples before they are judged, >= 0, in units
            of the data; Xu et al., 2024, use 0.2. It is keyed by the judge's name, image and sample.
        name: what tells the judge from the others of a run.

    Raises:
        ValueError: if `noise_std` is negative.
    """

    def __init__(self, operator: LabelOperator | None = None, noise_std: float = 0.0, name: str = "") -> None:
        require_not_negative("A judge", noise_std=noise_std)
        self.noise_std = noise_std
        self.name = name
        self._given = operator

    def prepare(self, solver: Solver, device: torch.device) -> None:
        """Get ready.

        Raises:
            ValueError: if the run's own operator is to judge and measures no classes, or if the run measures other
                classes than the judge, or at other positions.
        """
        judge = solver.operator if self._given is None else self._given
        if not isinstance(judge, LabelOperator):
            raise InvalidValueError(
                f"Only an operator that measures classes can judge them, but {type(judge).__name__} does not; give the "
                "metric another as judge, or take it out of the callbacks."
            )
        ready(judge, solver, device)
        self.operator = judge

    @torch.no_grad()
    def labels(self, reconstruction: Reconstruction) -> Tensor:
        """Classes of all samples, `(B * S, *positions)`."""
        rows = sample_rows(reconstruction)
        number = reconstruction.draws.samples.shape[1]
        noise = NoiseSource(0, reconstruction.indices, rows.device, use="judge " + self.name).samples(number)
        logits: Tensor = self.operator(rows + self.noise_std * noise.like(rows) if self.noise_std else rows)
        return logits.argmax(dim=1)

    def targets(self, reconstruction: Reconstruction) -> Tensor:
        """The measured classes of all samples, likewise."""
        targets = repeat(reconstruction.measurement, reconstruction.draws.samples.shape[1])
        assert isinstance(targets, Tensor)
        return targets

    def confusion(self, reconstruction: Reconstruction) -> Tensor:
        """Confusion of all samples' maps with the measured ones, `(B * S, K, K)`."""
        return confusion(self.labels(reconstruction), self.targets(reconstruction), classes=len(self.operator.classes))

    def define(self) -> dict[str, Any]:
        """What the judgement depends on."""
        return {**asked(self.operator), "classes": len(self.operator.classes), "noise_std": self.noise_std}


class Judged(Metric):
    """A metric with a judge."""

    def __init__(self, judge: LabelOperator | None, noise_std: float, name: str) -> None:
        super().__init__()
        self.judge = Judge(judge, noise_std, name)
        self.name = name

    @property
    def key(self) -> str:
        """See `Metric.key`."""
        return self.name

    def prepare(self, solver: Solver, device: torch.device) -> None:
        """See `Metric.prepare`."""
        self.judge.prepare(solver, device)


def asked(operator: Operator | None) -> dict[str, Any]:
    """Who looks at the samples, for a definition: class, arguments, networks and the digest of their weights."""
    if operator is None:
        return {}
    return {
        "judge": f"{type(operator).__name__}({operator.extra_repr()})",
        "networks": [
            type(part.network if isinstance(part, LazyNetwork) else part).__name__ for part in operator.children()
        ],
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
