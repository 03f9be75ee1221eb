"""Every solver on super-resolution and inpainting of rooms: fidelity beside cost.

    python -m studies.rooms_classical table      runs all rows; about 6 minutes of one core
    python -m studies.rooms_classical tune       chooses the step sizes; about 10 minutes
    python -m studies.rooms_classical pages      makes every row a run, and a page per problem to look at
    python -m studies.rooms_classical settings --problem "inpainting, 20 % seen" --solver DPS > dps.yaml
    dis-lightning predict --config dps.yaml --writer.folder outputs/dps

The last two lines run one row from the command line. Step sizes are tuned to the PSNR.

"Proposed I" is that of Xu et al. 2024, and DPS and LGD are its two cells without a consistency model; those named "-CM"
and Langevin are of Purohit et al. 2024. What is blind to the measurement is there to be beaten.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from dis_lightning.callbacks import Fidelity
from dis_lightning.types import Cost
from studies.rooms_rows import Configuration, Study, reconstruct
from studies.rooms_table import commands, markdown_table, number, step_sizes

__all__ = ["STUDY", "Fidelities", "fidelities", "psnr", "text"]

STUDY = Path(__file__).with_suffix(".yaml")
"""The rows of the table."""

HEADINGS = ("solver", "step size", "samples", "PSNR", "SSIM", "evaluations", "gradients", "seconds")
NOTE = (
    "PSNR (dB) and SSIM: means over {images} rooms (and each room's samples) with standard errors. Evaluations, "
    "gradients and seconds (one CPU core): for one room, all its samples together."
)


class Fidelities(NamedTuple):
    """What a row of the table has found."""

    psnr: Tensor
    """Of every room, `(B,)`, the mean over its samples."""
    ssim: Tensor
    """Likewise."""
    blind: tuple[Tensor, Tensor]
    """The same of the measurement's pseudo-inverse, which costs no prior."""
    diverged: int
    """How many samples were not finite."""
    cost: Cost
    """Of one room."""


def fidelities(configuration: Configuration) -> Fidelities:
    """Run a row."""
    columns, diverged, costs = [], 0, []
    for reconstruction, solver in reconstruct(configuration):
        values = Fidelity().measure(reconstruction, solver)
        columns.append([values[name] for name in ("psnr", "ssim", "psnr_pseudo_inverse", "ssim_pseudo_inverse")])
        diverged += int(reconstruction.draws.diverged.sum())
        costs += reconstruction.draws.costs
    mean = Cost(*(sum(column) / len(costs) for column in zip(*costs, strict=True)))
    psnr, ssim, psnr_blind, ssim_blind = map(torch.cat, zip(*columns, strict=True))
    return Fidelities(psnr, ssim, (psnr_blind, ssim_blind), diverged, mean)


def psnr(configuration: Configuration) -> float:
    """The score of a step size; NaN where a sample diverged."""
    found = fidelities(configuration)
    return float("nan") if found.diverged else float(found.psnr.mean())


def text(study: Study) -> str:
    """The tables, one per problem, as Markdown."""
    parts = []
    for problem in study.problems:
        rows = []
        for solver in study.solvers:
            found = fidelities(study.configuration(problem, solver))
            samples = study.solvers[solver]["model"]["init_args"].get("num_samples", 1)
            name = f"{solver} ({found.diverged} diverged)" if found.diverged else solver
            fidelity = (number(found.psnr), number(found.ssim, 3))
            cost = (f"{found.cost.evaluations:g}", f"{found.cost.gradients:g}", f"{found.cost.seconds:.2f}")
            rows.append((name, step_sizes(study, problem, solver), str(samples), *fidelity, *cost))
            print(" | ".join(rows[-1]), flush=True)
        blind = (number(found.blind[0]), number(found.blind[1], 3))
        rows.insert(0, ("pseudo-inverse of y", "-", "-", *blind, "0", "0", "-"))
        parts.append(f"**{problem}**\n\n{markdown_table(HEADINGS, rows)}")
    return "\n".join([*parts, NOTE.format(images=study.data["init_args"]["num_images"])])


if __name__ == "__main__":
    commands(STUDY, psnr, text)
