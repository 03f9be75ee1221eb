"""Finitely many atoms, where the posterior is known for every operator: how often each atom is found."""

import pytest
from atom_shares import assert_shares
from torch import Tensor

from dis_lightning.levels import KarrasLevels
from dis_lightning.operators import HDR, MatrixOperator, PhaseRetrieval
from dis_lightning.solvers import DPS, Unguided
from studies.measurements import LinearLogits
from studies.problems import Problem, atom_problems
from studies.scores import total_variation

COUNT = 1000
LEVELS = KarrasLevels(50, sigma_min=0.02, sigma_max=20)
PROBLEMS = atom_problems()
NAMES = [problem.name for problem in PROBLEMS]

for_every_operator = pytest.mark.parametrize("problem", PROBLEMS, ids=NAMES)


def error(problem: Problem, samples: Tensor) -> float:
    return total_variation(samples, problem.prior.atoms, problem.posterior.weights)


def test_the_operators_are_those_of_pictures() -> None:
    assert [type(problem.operator) for problem in PROBLEMS] == [MatrixOperator, PhaseRetrieval, HDR, LinearLogits]


@for_every_operator
def test_the_exact_conditional_denoiser_finds_each_atom_as_often_as_it_is_probable(problem: Problem) -> None:
    samples = problem.oracle(LEVELS, COUNT)
    assert_shares(samples, problem.prior.atoms, problem.posterior.weights)
    floor = sum(error(problem, problem.exact(COUNT, batch)) for batch in range(5)) / 5
    assert error(problem, samples) <= floor + 0.02


@for_every_operator
def test_every_sample_ends_at_an_atom(problem: Problem) -> None:
    samples = problem.oracle(LEVELS, 50)
    gaps = (samples.flatten(1)[:, None] - problem.prior.atoms.flatten(1)).abs().amax(2).amin(1)
    assert gaps.max() < 1e-5


# Each strength belongs to the operator. Measured 0.19, 0.27, 0.09, 0.13, and for the prior 0.64, 0.49, 0.31, 0.39.
SCALES = [1.0, 10.0, 0.3, 100.0]


@pytest.mark.parametrize(("problem", "scale"), list(zip(PROBLEMS, SCALES, strict=True)), ids=NAMES)
def test_dps_finds_the_atoms_better_than_the_prior(problem: Problem, scale: float) -> None:
    guided = DPS(problem.operator, problem.prior, LEVELS, scale=scale, num_samples=COUNT)
    unguided = Unguided(problem.operator, problem.prior, LEVELS, num_samples=COUNT)
    # Twice the spread of a total variation of 1000 samples over 16 atoms.
    assert error(problem, problem.draw(guided)) < error(problem, problem.draw(unguided)) - 0.03
