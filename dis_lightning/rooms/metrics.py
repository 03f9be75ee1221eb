"""How much of a room's caption the samples show."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError, require_not_negative
from dis_lightning.metrics.base import Direction, ImageMetric, Value
from dis_lightning.metrics.judges import asked, ready
from dis_lightning.metrics.per_sample import over_samples, sample_rows
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.texts import texts
from dis_lightning.rooms.captions import known_facts
from dis_lightning.rooms.operators import RoomsCaption
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Reconstruction, repeat

__all__ = ["CaptionAccuracy"]


class CaptionAccuracy(ImageMetric):
    """Share of the six facts of a caption that a judge sees in the samples: 1 where it would say the same of them.

    For every image the mean over its samples; diverged ones are left out.

    Args:
        judge: who captions the samples; by default the run's own operator. Another network than the one that guided is
            a fairer judge.
        noise_std: standard deviation of the noise that is added to the samples before they are judged, >= 0, in units
            of the data.
        name: what the value is called; several judges need several names.

    Raises:
        ValueError: if `noise_std` is negative or, at the start of a run, if no captions of rooms are measured.
    """

    section: ClassVar[str] = "consistency"
    values: ClassVar[dict[str, Value]] = {"y_accuracy": Value("y-accuracy", Direction.HIGHER)}

    def __init__(self, judge: RoomsCaption | None = None, noise_std: float = 0.0, name: str = "y_accuracy") -> None:
        super().__init__()
        require_not_negative("A judge", noise_std=noise_std)
        self.judge = judge
        self.noise_std = noise_std
        self.name = name

    @property
    def key(self) -> str:
        """See `Metric.key`."""
        return self.name

    def prepare(self, solver: Solver, device: torch.device) -> None:
        """See `Metric.prepare`."""
        own = solver.operator
        if not isinstance(own, RoomsCaption):
            raise InvalidValueError(
                f"CaptionAccuracy compares captions of rooms, but {type(own).__name__} does not measure any; take it "
                "out of the callbacks."
            )
        self._asked = own if self.judge is None else self.judge
        ready(self._asked, solver, device)

    @torch.no_grad()
    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        rows, number = sample_rows(reconstruction), reconstruction.draws.samples.shape[1]
        noise = NoiseSource(0, reconstruction.indices, rows.device, use="judge " + self.name).samples(number)
        seen = known_facts(self._asked.measure(rows + self.noise_std * noise.like(rows), noise))
        told = known_facts(texts(repeat(reconstruction.measurement, number), len(rows)))
        return over_samples(self.name, (seen == told).double().mean(dim=1), reconstruction)

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        what = "share of the six facts of a caption that are the measured one's"
        return {"what": what, **asked(self._asked), "noise_std": self.noise_std}
