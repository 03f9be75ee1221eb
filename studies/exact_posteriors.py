"""Every solver on problems whose posterior is known exactly, in one table.

    python -m studies.exact_posteriors [--markdown]

Rows are the solvers of `studies.contestants`, below exact samples, the unguided prior and the exact conditional
denoiser. Columns are the problems and scores of `studies.trials`:

    SW       sliced Wasserstein distance to exact samples; the first row is its floor
    mean     error of the mean over the root of the total variance
    cov      error of the covariance over its norm
    cover    share of the truths in the region of highest posterior density that holds 90 % of the solver's samples:
             0.9 if calibrated, less if the samples are too narrow, more if they are too wide or far off
    TV       total variation of the nearest atoms; the first row is its floor
    gap dB   squared error of the solver's posterior mean over that of the exact one

A sample costs at most 50 evaluations of a network unless its row says more, a sample of a chain 20 (200 where the
consistency map has a closed form). The one number of each solver, its strength or step size, was chosen as `--tune`
does, by five runs on five other images with other noise; all two-step methods take the number of their one-step
sibling.

What it shows, in distances to the posterior (floor, prior; `exact_posteriors.md` has the whole table):

- On every problem a sampler comes within 1.4 times the floor: MMPS with 200 levels and HMC on the Gaussian (0.07,
  0.61), TDS with 8 particles a sample on the mixtures (8 dimensions: 0.14, 10.3; 80: 0.52 of 0.49, 9.0), annealed SMC
  in noise on the atoms, HMC and MMPS with 200 levels on the walks (0.04, 2.2).
- Where modes are far apart, chains stay where they began, and guided walks come to 1.1 (MMPS) to 10 in 8 dimensions,
  with standard errors of up to a third of that over ten measurements: one of them says nothing.
- The exact conditional denoiser at 50 levels is as far from the walks' posterior as MMPS is, with samples as narrow:
  what is left there is the error of the steps. 25 steps of Heun have little of it.
- With phase retrieval of atoms DiffPIR, DAPS, guidance through the consistency map and Langevin without an accept step
  stay near the prior (0.54). CM4IR, CMEdit and RED-diff take the noise of a blurred walk for the walk.
"""

import argparse
import math
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from rich.console import Console

from dis_lightning.meters import CostMeter
from dis_lightning.operators import LinearOperator
from dis_lightning.priors import Denoiser, FlowMap
from dis_lightning.progress import counted
from studies.calibration import Calibration
from studies.contestants import CONTESTANTS, Contestant
from studies.problems import Problem, atom_problems, gaussian_problem, mixture_problem, walk_problem
from studies.score_table import Row, sheets
from studies.trials import AtomTrial, PosteriorTrial, Score, Trial

__all__ = ["all_trials", "applies", "compare", "strength", "tune"]

PROBLEMS = (
    "Gaussian, 6",
    "mixture, 8",
    "mixture, 80",
    "atoms, inpainting",
    "atoms, phase",
    "atoms, HDR",
    "atoms, segmentation",
    "walk, 64",
)
SIGMA_FLOW = 0.02
"""Where a consistency map that is integrated numerically ends."""
FLOW_STEPS = 48
"""Steps of DPM-Solver++(2M) that such a map takes: the variance of a mixture's modes comes out as 1.04 for 1, and one
sample in 200 in another mode."""
STRENGTHS: dict[str, tuple[float, ...]] = {
    "DPS": (1.0, 30.0, 10.0, 30.0, 10.0, 1.0, 1.0, 10.0),
    "LGD": (1.0, 30.0, 10.0, 100.0, 30.0, 1.0, 1.0, 10.0),
    "TFG": (0.3, 30.0, 10.0, 10.0, 10.0, 1.0, 1.0, 1.0),
    "FreeDoM": (1.0, 30.0, 10.0, 10.0, 10.0, 1.0, 1.0, 30.0),
    "MPGD": (0.3, 3.0, 3.0, 30.0, 30.0, 10.0, 10.0, 3.0),
    "REDDiff": (0.3, 0.03, 0.1, 3.0, 0.3, 3.0, 0.03, 3.0),
    "Xu I: mean + noise": (1.0, 30.0, 10.0, 100.0, 10.0, 1.0, 1.0, 10.0),
    "Xu I: sample": (3.0, 30.0, 30.0, 100.0, 100.0, 100.0, 30.0, 30.0),
    "Xu I: sample + noise": (3.0, 10.0, 30.0, 100.0, 100.0, 100.0, 30.0, 3.0),
    "DPS-CM": (1.0, 30.0, 30.0, 100.0, 100.0, 100.0, 30.0, 3.0),
    "LGD-CM": (1.0, 100.0, 100.0, 100.0, 100.0, 100.0, 30.0, 3.0),
    "MPGD-CM": (0.3, 3.0, 0.3, 30.0, 30.0, 10.0, 3.0, 3.0),
    "Xu II: inversion, 1 step": (0.1, 0.1, 0.01, 0.1, 0.3, 0.01, 0.003, 0.3),
    "Langevin EM, 1 step": (0.01, 0.0001, 0.0001, 0.002, 0.0005, 0.01, 0.05, 0.002),
    "Langevin EI, 1 step": (0.01, 0.0005, 0.0005, 0.002, 0.0005, 0.01, 0.05, 0.002),
    "MALA, 1 step": (0.05, 0.01, 0.002, 0.2, 0.2, 0.05, 0.2, 0.01),
    "HMC, 1 step": (0.2, 0.05, 0.05, 0.4, 0.4, 0.2, 0.4, 0.05),
}
"""The tuned number of each contestant for each of `PROBLEMS`, where it was tuned."""


def all_trials(num_samples: int = 150, measurements: int = 10, images: int = 50) -> list[Trial]:
    """The problems of the table, in the order of `PROBLEMS`.

    A chain is short where the consistency map is integrated numerically, and long where it has a closed form.

    Args:
        num_samples: number of posterior samples of each measurement, a multiple of 5: chains give five each.
        measurements: number of images that are measured in each problem but the walks.
        images: number of random walks, each with 19 samples.
    """
    gaussian, walk = gaussian_problem(6, 3, images=measurements), walk_problem(images)
    return [
        PosteriorTrial(
            gaussian,
            gaussian.prior.consistency_map(),
            data_std=1.0,
            sigma_max=80.0,
            num_samples=num_samples,
            chains=num_samples // 5,
            chain_evaluations=1000,
        ),
        *(
            PosteriorTrial(problem, _flow(problem), data_std=11.3, sigma_max=1000.0, **_short_chains(num_samples))
            for problem in (mixture_problem(8, 2, images=measurements), mixture_problem(80, 2, images=measurements))
        ),
        *(
            AtomTrial(problem, _flow(problem), data_std=0.58, sigma_max=20.0, **_short_chains(num_samples))
            for problem in atom_problems(images=measurements)
        ),
        Calibration(
            walk,
            walk.prior.consistency_map(),
            data_std=2.9,
            sigma_max=200.0,
            num_samples=19,
            chains=19,
            chain_evaluations=200,
        ),
    ]


def strength(contestant: Contestant, trial: Trial) -> float:
    """The tuned number of a contestant for a trial, or its middle candidate; 0 where it has nothing to tune."""
    if values := STRENGTHS.get(contestant.tuned_as or contestant.name):
        return values[PROBLEMS.index(trial.problem.name)]
    return contestant.candidates[len(contestant.candidates) // 2] if contestant.candidates else 0.0


def applies(contestant: Contestant, trial: Trial) -> bool:
    """Whether a contestant can be tried on a problem."""
    return not contestant.linear or isinstance(trial.problem.operator, LinearOperator)


def compare(trials: Sequence[Trial], contestants: Sequence[Contestant] = CONTESTANTS) -> list[Row]:
    """Try the contestants with their tuned numbers.

    Args:
        trials: problems that are named in `PROBLEMS`.
        contestants: who is tried.

    Returns:
        A row of exact samples, which shows what each score is at best, and one per contestant.
    """
    free = ((0.0, 0.0),) * len(trials)
    rows = [Row("exact samples", tuple(trial.scores(trial.exact()) for trial in trials), free, sampler=False)]
    for contestant in counted(contestants, "Trying every solver"):
        tried = [_tried(contestant, trial) if applies(contestant, trial) else (None, None) for trial in trials]
        scores, costs = zip(*tried, strict=True)
        rows.append(Row(contestant.name, scores, costs, contestant.sampler))
    return rows


def tune(contestant: Contestant, trial: Trial) -> float:
    """Choose the number with the smallest distance to the exact posterior, by five runs.

    Three of the seven candidates are tried first, then the two beside the best. The trial is given another seed: what
    is compared later was not seen here.
    """
    trial = trial.again(1)
    tried: dict[int, float] = {}

    def attempt(place: int) -> None:
        samples = trial.draw(contestant.build(trial, contestant.candidates[place]))
        distance = trial.scores(samples)[0].value
        tried[place] = math.inf if math.isnan(distance) else distance

    for place in (1, 3, 5):
        attempt(place)
    best = min(tried, key=tried.__getitem__)
    for place in (best - 1, best + 1):
        attempt(place)
    return contestant.candidates[min(tried, key=tried.__getitem__)]


def _tried(contestant: Contestant, trial: Trial) -> tuple[tuple[Score, ...], tuple[float, float]]:
    solver = contestant.build(trial, strength(contestant, trial))
    networks = [part for part in solver.children() if isinstance(part, Denoiser)]
    with CostMeter(networks, torch.device("cpu")) as meter:
        samples = trial.draw(solver)
    drawn = len(samples) * trial.num_samples
    return trial.scores(samples), (meter.evaluations / drawn, meter.gradients / drawn)


def _flow(problem: Problem) -> FlowMap:
    # A copy, so that an evaluation of the map is not counted as so many of the prior.
    return FlowMap(deepcopy(problem.prior), steps=FLOW_STEPS, sigma_min=SIGMA_FLOW, multistep=True)


def _short_chains(num_samples: int) -> dict[str, Any]:
    return {
        "num_samples": num_samples,
        "chains": num_samples // 5,
        "chain_evaluations": 100,
        "sigma_min": SIGMA_FLOW,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, or choose the strengths anew."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.exact_posteriors", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--tune", action="store_true", help="choose the strengths anew and print them; takes minutes")
    chosen = parser.parse_args(arguments)
    if chosen.tune:
        trials = all_trials(num_samples=100, measurements=5, images=20)
        for contestant in CONTESTANTS:
            if contestant.candidates:
                print(f'    "{contestant.name}": {tuple(tune(contestant, trial) for trial in trials)},', flush=True)
        return
    trials = all_trials()
    for sheet in sheets(trials, compare(trials)):
        if chosen.markdown:
            print(sheet.as_markdown(), end="\n\n")
        else:
            # Wider than most terminals: lines that wrap can be read, columns that are cut cannot.
            table = sheet.as_table()
            Console(width=Console(width=1000).measure(table).maximum).print(table)


if __name__ == "__main__":
    main()
