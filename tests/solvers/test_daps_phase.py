"""DAPS where it is meant to be better: phase retrieval with little noise, on a prior whose posterior is known."""

import pytest
import torch

from dis_lightning.kernels import HMC
from dis_lightning.levels import KarrasLevels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import PhaseRetrieval
from dis_lightning.solvers import DAPS, DPS, Solver
from studies.problems import Problem, atom_problems, measured

SAMPLES, LEVELS = 32, KarrasLevels(100, 0.3, 5.0)


def problem(seed: int) -> Problem:
    """One of 16 images, of which hardly another has such magnitudes: the posterior is that image."""
    prior = atom_problems(seed)[1].prior
    return measured("phase", prior, PhaseRetrieval(oversample=2.0, noise_std=0.05), seed)


def found(problem: Problem, solver: Solver) -> float:
    """Share of the samples that are the right image."""
    samples = solver.solve(problem.y, NoiseSource(0, [0]))[0]
    return ((samples - problem.truth).flatten(1).norm(dim=1) < 2.0).double().mean().item()


def test_it_finds_the_image_more_often_than_dps_at_the_same_cost() -> None:
    """One network evaluation per level for both, against DPS with the best of three scales."""
    problems = [problem(seed) for seed in range(4)]
    assert min(each.posterior.weights.max().item() for each in problems) == pytest.approx(1.0)
    daps, dps = 0.0, torch.zeros(3)
    for each in problems:
        parts = (each.operator, each.prior, LEVELS)
        chain = DAPS(*parts, flow_steps=1, kernel=HMC(0.4), moves=8, num_samples=SAMPLES)
        daps += found(each, chain) / 4
        guided = [DPS(*parts, scale=scale, num_samples=SAMPLES) for scale in (10.0, 30.0, 100.0)]
        dps += torch.tensor([found(each, solver) for solver in guided]) / 4
    # Measured 0.64 against 0.35; shares of 128 samples are known to 0.04.
    assert daps > dps.max() + 0.12, (daps, dps)
