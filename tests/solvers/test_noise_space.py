"""What all solvers share whose noise moves: their steps, their randomness, their rows, their errors."""

import math
from collections.abc import Callable
from typing import Self

import pytest
import torch
from linear_gaussian import MAP, TWO_STEPS
from linear_gaussian import solve as solve_for
from torch import Tensor

from dis_lightning.kernels import HMC, MALA, EulerMaruyama
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import MatrixOperator
from dis_lightning.priors import Denoiser
from dis_lightning.solvers.base import Solver
from dis_lightning.solvers.cmedit import CMEdit
from dis_lightning.solvers.consistency_inversion import ConsistencyInversion
from dis_lightning.solvers.consistency_sampling import ConsistencySampling
from dis_lightning.solvers.langevin import NoiseSpaceLangevin
from dis_lightning.types import State

Builder = Callable[..., Solver]

# One value of two: the measurement leaves something to every solver.
OPERATOR = MatrixOperator(torch.tensor([[1.0, 0.5]]), noise_std=0.6)
Y = torch.tensor([[0.9]])


def sampling(**common: object) -> Solver:
    return ConsistencySampling(**{"operator": OPERATOR, "denoiser": MAP, "levels": TWO_STEPS, **common})


def editing(**common: object) -> Solver:
    return CMEdit(**{"operator": OPERATOR, "denoiser": MAP, "levels": TWO_STEPS, **common})


def inversion(**common: object) -> Solver:
    parts = {"operator": OPERATOR, "denoiser": MAP, "levels": TWO_STEPS, **common}
    return ConsistencyInversion(**parts, learning_rates=[0.01, 0.1], steps=[3, 4], spread=0.2)


def langevin(**common: object) -> Solver:
    chain = {"kernel": EulerMaruyama(0.1), "warm_start": 3, "learning_rate": 0.1, "burn_in": 1, "thinning": 2}
    parts = {"operator": OPERATOR, "denoiser": MAP, "levels": TWO_STEPS}
    return NoiseSpaceLangevin(**{**parts, **chain, **common})


def mala(**common: object) -> Solver:
    return langevin(kernel=MALA(0.2), **common)


def hmc(**common: object) -> Solver:
    return langevin(kernel=HMC(0.3), **common)


every_solver = pytest.mark.parametrize("build", [sampling, editing, inversion, langevin, mala, hmc])


class Labelled(Denoiser):
    """Shifts the images of a map by their class."""

    num_classes = 10

    def __init__(self, denoiser: Denoiser, labels: Tensor | None = None) -> None:
        super().__init__()
        self.shape = denoiser.shape
        self.denoiser = denoiser
        self.labels = labels

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        assert self.labels is not None
        shift = 10 * self.labels[:, None]
        return self.denoiser(x_t - shift, sigma) + shift

    def given(self, labels: Tensor) -> Self:
        return type(self)(self.denoiser, labels)


def solve(solver: Solver, indices: tuple[int, ...] = (0,)) -> Tensor:
    return solve_for(solver, Y, indices)


def states(solver: Solver, rows: int = 2) -> list[State]:
    return list(solver.iterate(Y.expand(rows, -1), NoiseSource(0, range(rows))))


@every_solver
def test_samples_are_finite_and_carry_no_gradient(build: Builder) -> None:
    samples = solve(build(num_samples=4), indices=(0, 3))
    assert samples.shape == (2, 4, 2)
    assert samples.isfinite().all()
    assert not samples.requires_grad


@every_solver
def test_the_same_seed_gives_the_same_bits_and_another_does_not(build: Builder) -> None:
    samples = solve(build(num_samples=2, seed=3))
    assert torch.equal(samples, solve(build(num_samples=2, seed=3)))
    assert not torch.isclose(samples, solve(build(num_samples=2, seed=4))).any()


@every_solver
def test_all_samples_and_all_images_differ(build: Builder) -> None:
    samples = solve(build(num_samples=3), indices=(0, 1)).flatten(0, 1)
    distances = torch.cdist(samples, samples) + torch.eye(6)
    # A chain with an accept step may stay for one sample, but images never share noise.
    assert (distances[:3, 3:] > 1e-4).all()
    if build in (sampling, editing, inversion, langevin):
        assert (distances > 1e-4).all()


@every_solver
def test_images_do_not_touch_each_other_even_where_one_is_lost(build: Builder) -> None:
    y = torch.cat([Y, torch.full_like(Y, math.inf), Y + 0.3])
    together = build(num_samples=2).solve(y, NoiseSource(0, [4, 5, 6]))
    for place, index in ((0, 4), (2, 6)):
        alone = build(num_samples=2).solve(y[place : place + 1], NoiseSource(0, [index]))
        torch.testing.assert_close(together[place], alone[0], rtol=1e-5, atol=1e-6)
    assert build is sampling or not together[1].isfinite().all(dim=-1).any()


@every_solver
def test_steps_are_counted_to_the_end_and_the_last_image_is_the_sample(build: Builder) -> None:
    solver = build()
    walked = states(solver)
    assert [state.step for state in walked] == list(range(1, len(walked) + 1))
    assert {state.steps for state in walked} == {len(walked)}
    assert torch.equal(solver.gather(iter(walked)), walked[-1].x_0)


@every_solver
def test_a_caller_s_gradient_mode_is_left_alone(build: Builder) -> None:
    for _ in build().iterate(Y, NoiseSource(0, [0])):
        assert torch.is_grad_enabled()


@every_solver
def test_classes_belong_to_the_rows_of_their_images(build: Builder) -> None:
    labels = torch.tensor([3, 8])
    means = 10.0 * labels[:, None].expand(2, 2)
    samples = build(denoiser=Labelled(MAP), num_samples=4).solve(OPERATOR(means), NoiseSource(0, [0, 1]), labels)
    torch.testing.assert_close(samples, means[:, None].expand(2, 4, 2), rtol=0, atol=5)
