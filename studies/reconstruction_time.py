"""How does the cost of an image grow with the number of its posterior samples?

Purohit et al., "Posterior sampling via Langevin dynamics based on generative priors", 2024 (arXiv 2410.02078), show in
figure 2: fast for DPS, which begins anew for every sample, and hardly at all for their chain, which warms up once and
then gives a sample per move. The figure's numbers are in no text. For N samples, network evaluations are

    DPS         100 N
    Langevin    eta (K + N + 1),    eta = 1 or 2 steps of the consistency model, K = 800 moves of the warm start

(theirs is `eta (K + N)`: here the image at the end of the warm start is made anew), so that a chain of one step is the
cheaper one from 9 samples on, and a chain of two from 17.

**Measured** by `python -m studies.reconstruction_time` with the networks of rooms, evaluations and seconds of an image
on one core of a busy CPU:

    samples       dps_dm    langevin_one_step    langevin_two_steps
          1     100   3 s            802 19 s             1604 40 s
          5     500   9 s            806 16 s             1612 55 s
         10    1000  11 s            811 22 s             1622 58 s
         25    2500  46 s            826 28 s             1652 67 s

The samples of DPS go through the network together, those of a chain one after the other: where one image does not fill
the device, seconds favour DPS more than evaluations do.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import auto_cli
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from dis_lightning.arguments.building import build_solver
from dis_lightning.progress import counted
from dis_lightning.types import Cost

__all__ = ["METHODS", "NUMBERS", "costs", "print_costs"]

CELLS = Path(__file__).parents[1] / "configs" / "papers" / "purohit2024" / "lsun_bedroom" / "inpainting_10"
METHODS = ("dps_dm", "langevin_one_step", "langevin_two_steps")
"""The files of the methods that are compared."""

NUMBERS = (1, 5, 10, 25)
"""How many samples of an image."""

ROOMS = {
    "EDM": "dis_lightning.rooms.rooms_edm",
    "ConsistencyModel": "dis_lightning.rooms.rooms_consistency",
}
"""The networks in the place of the published ones."""


def costs(method: str, numbers: Sequence[int] = NUMBERS, changes: Mapping[str, Any] | None = None) -> list[Cost]:
    """Reconstruct a grey image by a method of the paper, with the paper's settings.

    Args:
        method: one of `METHODS`.
        numbers: how many samples are drawn, one run for each, >= 1.
        changes: arguments of the solver that are not the paper's.

    Returns:
        What the image cost, all its samples together, for every number.
    """
    cell = yaml.safe_load((CELLS / f"{method}.yaml").read_text())
    prior = {"class_path": ROOMS[cell["denoiser"]["class_path"]]}
    found = []
    for number in numbers:
        cell["model"]["init_args"] |= {**(changes or {}), "num_samples": number}
        solver = build_solver({"model": cell["model"], "operator": cell["operator"], "denoiser": prior})
        image = torch.zeros(1, *solver.denoiser.shape)
        reconstruction = solver.predict_step({"image": image, "index": torch.tensor([0]), "name": ["grey"]})
        found += reconstruction.draws.costs
    return found


def print_costs(table: Mapping[str, Sequence[Cost]], numbers: Sequence[int] = NUMBERS) -> None:
    """Show a row per number of samples, and for every method evaluations and seconds of an image."""
    shown = Table("samples", box=SIMPLE)
    for method in table:
        shown.add_column(method, justify="right")
    for number, *row in zip(numbers, *table.values(), strict=True):
        shown.add_row(str(number), *(f"{cost.evaluations:.0f} {cost.seconds:3.0f} s" for cost in row))
    Console().print(shown)


def reconstruction_time() -> None:
    """Measure what an image costs with 1, 5, 10 and 25 samples, by three methods; minutes of one core."""
    torch.set_num_threads(1)
    print_costs({method: costs(method) for method in counted(METHODS, "Timing methods")})


if __name__ == "__main__":
    auto_cli(reconstruction_time, as_positional=False)
