"""TDS and annealed SMC: that they tend to the posterior, and what they are with one particle."""

import math
from typing import Any

import pytest
import torch
from batches import Thirds
from torch import Tensor

from dis_lightning.gradients import gradient
from dis_lightning.levels import KarrasLevels, Levels
from dis_lightning.metrics import ChainDiagnostics
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import HDR, AveragePool, MatrixOperator, Operator
from dis_lightning.posteriors import PosteriorSpread
from dis_lightning.priors import FiniteAtomPrior, FlowMap, GaussianMixturePrior, GaussianPrior
from dis_lightning.runs import RunFolder
from dis_lightning.solvers import TDS, NoiseSpaceSMC, PiGDM, Solver
from dis_lightning.types import Batch
from studies.problems import Problem, atom_problems, mixture_problem, walk_problem

ONE_STEP = Levels([80.0, 0.002])


def tds(problem: Problem, particles: int, data_std: float, sigma_max: float, steps: int = 60, seed: int = 0) -> TDS:
    levels = KarrasLevels(steps, sigma_min=0.01, sigma_max=sigma_max)
    own: dict[str, Any] = {"particles": particles, "num_samples": particles, "spread": PosteriorSpread(data_std)}
    return TDS(problem.operator, problem.prior, levels, seed=seed, **own)


def test_on_the_mixture_more_particles_come_to_the_floor() -> None:
    problem = mixture_problem(8, 2)
    few = problem.distance(problem.draw(tds(problem, 4, 11.3, 1000.0)))
    many = problem.distance(problem.draw(tds(problem, 512, 11.3, 1000.0, steps=200)))
    assert many < 1.6 * problem.floor(512)
    assert many < few / 4


@pytest.mark.parametrize("place", range(4))
def test_on_atoms_shares_come_to_the_exact_ones_for_every_kind_of_measurement(place: int) -> None:
    problem = atom_problems()[place]
    assert isinstance(problem.prior, FiniteAtomPrior)
    exact = problem.posterior
    assert isinstance(exact, FiniteAtomPrior)

    def off(particles: int, runs: int = 4) -> float:
        solvers = [tds(problem, particles, 0.58, 20.0, steps=100, seed=seed) for seed in range(runs)]
        samples = torch.cat([problem.draw(solver) for solver in solvers])
        nearest = torch.cdist(samples.flatten(1), exact.atoms.flatten(1)).argmin(dim=1)
        shares = torch.bincount(nearest, minlength=len(exact.atoms)) / len(samples)
        return float((shares - exact.weights).abs().sum() / 2)

    many = off(256)
    assert many < 0.13
    assert many < off(8)


def test_on_a_random_walk_the_mean_is_right() -> None:
    problem = walk_problem(1)
    samples = problem.draw(tds(problem, 256, 2.9, 200.0, steps=100))
    exact = problem.exact(256)
    apart = (samples.mean(0) - exact.mean(0)).norm() / exact.mean(0).norm()
    assert float(apart) < 0.1


def test_the_twist_of_a_linear_measurement_guides_as_pigdm_does() -> None:
    generator = torch.Generator().manual_seed(0)
    operator = MatrixOperator(torch.randn(3, 6, generator=generator, dtype=torch.float64), 0.4)
    root = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    prior = GaussianPrior(torch.zeros(6, dtype=torch.float64), root @ root.T)
    y = torch.randn(1, 3, generator=generator, dtype=torch.float64).expand(4, -1)
    x_t = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    spread = PosteriorSpread(1.3)
    levels = KarrasLevels(5)
    twisted = TDS(operator, prior, levels, particles=4, spread=spread)._twisted(x_t, 0.8, y)
    x_0, _ = PiGDM(operator, prior, levels, spread=spread).guide(x_t, 0.8, y, NoiseSource(0, range(4)))
    torch.testing.assert_close(twisted.x_0 + 0.8**2 * twisted.slope, x_0)
    # And it is the logarithm of the normal density that it says.
    covariance = spread(0.8) ** 2 * operator.matrix_ @ operator.matrix_.T + 0.16 * torch.eye(3)
    off = y - operator(twisted.x_0)
    exact = -0.5 * torch.einsum("ni,ij,nj->n", off, torch.linalg.inv(covariance), off)
    torch.testing.assert_close(twisted.twist, exact)


@pytest.mark.parametrize("noise_std", [0.3, 0.01, 1e-4])
def test_the_twist_of_a_linear_measurement_keeps_its_digits_where_there_is_little_noise(noise_std: float) -> None:
    """Value and slope in float32 against the density of y in float64."""
    generator = torch.Generator().manual_seed(0)
    matrix, x, variance = torch.randn(10, 48, generator=generator), 9 + torch.randn(4, 48, generator=generator), 1e-3
    operator = MatrixOperator(matrix, noise_std)
    y = operator(x + 0.1 * torch.randn(4, 48, generator=generator))
    solver = TDS(operator, GaussianPrior(torch.zeros(48), torch.eye(48)), KarrasLevels(2))
    value, slope, _ = gradient(lambda x: (solver._log_twist(x, variance, y), x), x)
    a, off = matrix.double(), y.double() - x.double() @ matrix.double().T
    weighted = torch.linalg.solve(variance * a @ a.T + noise_std**2 * torch.eye(10), off.T).T
    torch.testing.assert_close(value.double(), -(off * weighted).sum(dim=1) / 2, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(slope.double(), weighted @ a, rtol=1e-3, atol=1e-3 * float((weighted @ a).abs().max()))


def test_the_twist_of_other_measurements_is_their_likelihood_widened_where_it_is_gaussian() -> None:
    prior = GaussianPrior(torch.zeros(3, 2, 2, dtype=torch.float64), 0.3 * torch.eye(12, dtype=torch.float64))
    x_t = torch.randn(3, 3, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x_0, r = prior(x_t, 0.8), PosteriorSpread(1.3)(0.8)
    hdr, labels = HDR(noise_std=0.2), Thirds()

    def twist(operator: Operator, y: Tensor) -> Tensor:
        solver = TDS(operator, prior, KarrasLevels(5), particles=3, spread=PosteriorSpread(1.3))
        return solver._twisted(x_t, 0.8, y).twist

    y = hdr(-x_t)
    torch.testing.assert_close(twist(hdr, y), -(hdr(x_0) - y).square().flatten(1).sum(dim=1) / (2 * (0.2**2 + r**2)))
    y = labels.measure(-x_t, NoiseSource(0, range(3)))
    torch.testing.assert_close(twist(labels, y), -labels.energy(x_0, y))


def smc(operator: Operator, consistency: FlowMap, **arguments: object) -> NoiseSpaceSMC:
    return NoiseSpaceSMC(operator, consistency, ONE_STEP, **{"particles": 256, "num_samples": 256, **arguments})


def test_annealed_smc_draws_from_a_gaussian_posterior() -> None:
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(4, 4, generator=generator) / 2
    prior = GaussianPrior(torch.zeros(4), root @ root.T + 0.1 * torch.eye(4))
    operator = MatrixOperator(torch.randn(2, 4, generator=generator), 0.2)
    y = operator.measure(prior.sample(NoiseSource(1, [0])), NoiseSource(2, [0]))
    solver = NoiseSpaceSMC(
        operator, prior.consistency_map(), ONE_STEP, particles=1000, num_samples=1000, stages=8, moves=2
    )
    samples = solver.solve(y, NoiseSource(0, [0]))[0]
    exact = prior.posterior(operator, y)
    drawn = exact.sample(NoiseSource(3, [0]).samples(20000))
    # Copies that have not moved apart make particles worth less than their number.
    error = samples.std(0) / 200**0.5
    assert ((samples.mean(0) - drawn.mean(0)).abs() < 5 * error).all()
    assert ((samples.std(0) / drawn.std(0) - 1).abs() < 5 * math.sqrt(0.5 / 200)).all()


def test_modes_far_apart_keep_their_shares() -> None:
    """A single chain never leaves the mode that it begins in; a tempered likelihood need not."""
    prior = GaussianMixturePrior(torch.tensor([0.3, 0.7]), torch.tensor([[-4.0, 0.0], [4.0, 0.0]]), 0.1 * torch.eye(2))
    operator = MatrixOperator(torch.tensor([[0.0, 1.0]]), 0.1)
    y = torch.tensor([[0.2]])
    samples = smc(operator, FlowMap(prior, steps=48), stages=6, particles=1000, num_samples=1000).solve(
        y, NoiseSource(0, [0])
    )[0]
    left = float((samples[:, 0] < 0).double().mean())
    assert left == pytest.approx(0.3, abs=5 * math.sqrt(0.3 * 0.7 / 400))


@pytest.mark.parametrize(("dimension", "stages", "threshold", "worth"), [(8, 10, 0.5, 100), (24, 12, 0.6, 200)])
def test_annealed_smc_comes_to_the_floor_of_mixtures(dimension: int, stages: int, threshold: float, worth: int) -> None:
    """Its samples are as good as a hundred or two of exact ones: of the shares of modes each stage spoils a little."""
    problem = mixture_problem(dimension, 2)
    flow = FlowMap(problem.prior, steps=48, sigma_min=0.02, multistep=True)
    own: dict[str, Any] = {"stages": stages, "threshold": threshold, "particles": 1600, "num_samples": 400}
    solver = NoiseSpaceSMC(problem.operator, flow, Levels([1000.0, 0.02]), **own)
    assert problem.distance(problem.draw(solver)) < 1.3 * problem.floor(worth)


def batch(shape: tuple[int, ...]) -> Batch:
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)) - 0.5
    return {"image": images, "index": torch.arange(2), "name": ["a", "b"]}


def solvers() -> list[Solver]:
    prior = GaussianPrior(torch.zeros(1, 4, 4), 0.2 * torch.eye(16))
    operator = AveragePool(2, noise_std=0.1)
    return [
        TDS(operator, prior, KarrasLevels(8, sigma_max=10.0), particles=12, num_samples=3),
        NoiseSpaceSMC(operator, prior.consistency_map(), ONE_STEP, particles=12, num_samples=3, stages=3),
    ]


@pytest.mark.parametrize("solver", solvers(), ids=lambda solver: type(solver).__name__)
def test_a_run_says_what_its_particles_were_worth_also_when_it_is_read_again(solver: Solver, tmp_path) -> None:  # type: ignore[no-untyped-def]
    found = solver.predict_step(batch((1, 4, 4)))
    worth = found.draws.effective_particles
    assert worth is not None
    assert worth.shape == (2,)
    assert ((worth >= 1) & (worth <= 12.001)).all()
    assert torch.equal(ChainDiagnostics().measure(found, solver)["effective_particles"], worth)
    again = solver.predict_step(batch((1, 4, 4)))
    assert torch.equal(again.draws.samples, found.draws.samples)
    assert RunFolder(tmp_path).recall([0]) is None


class Broken(GaussianPrior):
    """A prior that gives nonsense for images on one side."""

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        x_0 = super().forward(x_t, sigma)
        return torch.where((x_t.flatten(1)[:, :1] > 0).reshape(-1, 1, 1, 1), torch.nan, x_0)


def test_particles_that_diverge_weigh_nothing() -> None:
    prior = Broken(torch.zeros(1, 4, 4), 0.2 * torch.eye(16))
    levels = KarrasLevels(6, sigma_max=10.0)
    solver = TDS(AveragePool(2, noise_std=0.3), prior, levels, particles=64, num_samples=8, threshold=1.0)
    y = torch.zeros(1, 1, 2, 2)
    samples = solver.solve(y, NoiseSource(0, [0]))[0]
    assert samples.isfinite().all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda op, law: TDS(op, law, KarrasLevels(5), particles=2, num_samples=3), "particles >= num_samples"),
        (lambda op, law: TDS(op, law, KarrasLevels(5), threshold=1.5), r"threshold in \[0, 1\]"),
        (lambda op, law: TDS(op, law, Levels([2.0, 1.0])), "must end in 0"),
        (lambda op, law: TDS(AveragePool(2), law, KarrasLevels(5)), "needs noise on the measurement"),
        (lambda op, law: TDS(HDR(), law, KarrasLevels(5)), "needs noise on the measurement"),
        (lambda op, law: TDS(op, law.consistency_map(), KarrasLevels(5)), "posterior mean"),
        (lambda op, law: NoiseSpaceSMC(op, law, ONE_STEP), "consistency map"),
        (lambda op, law: NoiseSpaceSMC(op, law.consistency_map(), Levels([80.0, 1.0, 0.002])), "one step"),
        (
            lambda op, law: NoiseSpaceSMC(op, law.consistency_map(), ONE_STEP, stages=0),
            "NoiseSpaceSMC needs stages >= 1",
        ),
        (lambda op, law: NoiseSpaceSMC(op, law.consistency_map(), ONE_STEP, step_size=5.0), "step_size in"),
        (
            lambda op, law: NoiseSpaceSMC(AveragePool(2), law.consistency_map(), ONE_STEP),
            "needs noise on the measurement",
        ),
    ],
)
def test_what_cannot_work_is_refused(build, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        build(AveragePool(2, noise_std=0.1), GaussianPrior(torch.zeros(1, 4, 4), 0.2 * torch.eye(16)))
