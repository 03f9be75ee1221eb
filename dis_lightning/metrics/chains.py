"""How well the chains of an image mixed."""

import math
from importlib.metadata import version
from typing import Any, ClassVar

import torch
from torch import Tensor

from dis_lightning.metrics.base import Direction, ImageMetric, Value
from dis_lightning.metrics.functional.chains import DIRECTIONS, Diagnosis, diagnose, of_independent
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Reconstruction

__all__ = ["ChainDiagnostics"]


class ChainDiagnostics(ImageMetric):
    """Effective sample size, split R-hat and share of moves of every image whose samples are Markov chains.

    `effective_sample_size` (how many independent samples are worth as much, all chains together) and `split_r_hat`
    (1 where long chains have mixed) are defined in `metrics.functional.chains`, and the definition of a run says what
    as many independent samples would have on average: the worst of 32 directions. `moved` is the
    share of the samples, each chain's first set aside, that differ from the one before. A chain that moves by less than
    a grey level is seen to stand still. `acceptance` is the share of the kernel's moves that were accepted, those of
    the burn-in and between samples too, but for the first of a chain without a warm start; 1 for kernels that never
    reject. Of solvers with particles, `effective_particles` is the least number that was worth as much as all of an
    image's.

    The first three come from the 8-bit samples as they are saved and the last from the record, so that a run that was
    resumed reports what an unbroken one does. The three are NaN for an image of which a sample diverged, and the first
    two also for one whose samples are all equal, the first where a chain has fewer than 10 samples, and R-hat where it
    has fewer than 8. Nothing is reported where samples are drawn independently; of chains of fewer than 4 samples, the
    acceptance alone.
    """

    section: ClassVar[str] = "chains"
    values: ClassVar[dict[str, Value]] = {
        "effective_sample_size": Value("effective sample size", Direction.HIGHER),
        "split_r_hat": Value("split R-hat", Direction.LOWER),
        "moved": Value("moved", Direction.NEITHER),
        "acceptance": Value("acceptance", Direction.NEITHER),
        "effective_particles": Value("effective particles", Direction.HIGHER),
    }

    def prepare(self, solver: Solver, device: torch.device) -> None:
        """See `Metric.prepare`."""
        self._samples, self._chains = solver.num_samples, solver.rows_per_image

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        draws = reconstruction.draws
        known = {"acceptance": draws.acceptance, "effective_particles": draws.effective_particles}
        rates = {name: value for name, value in known.items() if value is not None}
        # A row of the loop that gives one sample is no chain.
        chains = solver.rows_per_image
        if solver.num_samples < 4 * chains:
            return rates
        samples, diverged, *_ = draws
        images = samples.double().flatten(2)
        images[diverged] = float("nan")
        steps = images.unflatten(1, (chains, -1)).diff(dim=2)
        moved = (steps != 0).any(dim=3).double().flatten(1).mean(dim=1)
        values = diagnose(images, chains)._asdict()
        return {**values, "moved": moved.where(~diverged.any(dim=1), float("nan")), **rates}

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        what = {
            "effective_sample_size": f"number of independent samples worth as much, least of {DIRECTIONS} directions",
            "split_r_hat": f"spread over all half chains by spread within one, largest of {DIRECTIONS} directions",
            "moved": "share of samples that differ from the one before",
            "acceptance": "share of the kernel's moves that were accepted",
            "effective_particles": "the least number of particles that was worth as much as all of an image's",
        }
        found = {"what": what[name], "library": "arviz-stats " + version("arviz-stats")}
        if name == "effective_particles":
            found["particles"] = str(self._chains)
        if name in Diagnosis._fields:
            expected = of_independent(self._samples, self._chains)._asdict()[name].item()
            if not math.isnan(expected):
                found["independent_samples_have"] = f"{expected:.4g}"
        return found
