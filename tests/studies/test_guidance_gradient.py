"""The first paper's claim on exact priors: guidance at the posterior mean, over posterior samples, and the exact one.

Every statement of the text of `studies.guidance_gradient` is shown here.
"""

import math
from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from dis_lightning.operators import MatrixOperator, Operator
from dis_lightning.priors import FiniteAtomPrior, GaussianMixturePrior, GaussianPrior
from studies.clouds import posterior_cloud
from studies.guidance_gradient import (
    Comparison,
    agreement,
    compare,
    exact_gradient,
    expected_gradient,
    gradient_at_mean,
    print_comparisons,
)
from studies.measurements import Pointwise, clipped
from studies.problems import small_problems

GENERATOR = torch.Generator().manual_seed(0)
NOISE_STD = 0.4
SIZE = 4


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


ROOT, MATRIX, MEANS = normal(SIZE, SIZE), normal(2, SIZE), normal(5, SIZE)
IDENTITY = torch.eye(SIZE, dtype=torch.float64)
X_T, Y = normal(1, SIZE), normal(1, 2)
GAUSSIAN = GaussianPrior(MEANS[0], ROOT @ ROOT.T)
MIXTURE = GaussianMixturePrior(MEANS.new_ones(5), MEANS, 0.05 * ROOT @ ROOT.T)
ATOMS = FiniteAtomPrior(normal(40, SIZE))
LINEAR = MatrixOperator(MATRIX, NOISE_STD)
ONE_NUMBER = MatrixOperator(MATRIX[:1], NOISE_STD)


def against(measure: Callable[[Tensor, Tensor], Tensor], y: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda x_0: measure(x_0, y.expand(len(x_0), -1))


@pytest.mark.parametrize("sigma", [0.1, 1.0, 30.0])
def test_mean_and_expectation_agree_for_a_gaussian_a_linear_operator_and_the_squared_distance(sigma: float) -> None:
    loss = against(LINEAR.energy, Y)
    at_mean = gradient_at_mean(GAUSSIAN, X_T, sigma, loss)
    expected = expected_gradient(posterior_cloud(GAUSSIAN, X_T, sigma), sigma, loss)
    gain = GAUSSIAN.covariance @ torch.linalg.inv(GAUSSIAN.covariance + sigma**2 * IDENTITY)
    residual = GAUSSIAN(X_T, sigma) @ MATRIX.T - Y
    torch.testing.assert_close(at_mean, residual @ MATRIX @ gain / NOISE_STD**2, rtol=1e-9, atol=0)
    torch.testing.assert_close(expected, at_mean, rtol=1e-9, atol=0)


@pytest.mark.parametrize("sigma", [0.1, 1.0, 30.0])
def test_the_exact_gradient_weighs_each_residual_by_all_that_is_uncertain_about_it(sigma: float) -> None:
    """`p(y | x_t) = N(A D(x_t), A C_t A^T + s^2 I)` for a Gaussian, with `C_t` the covariance of `x_0 | x_t`."""
    gain = GAUSSIAN.covariance @ torch.linalg.inv(GAUSSIAN.covariance + sigma**2 * IDENTITY)
    uncertain = sigma**2 * MATRIX @ gain @ MATRIX.T + NOISE_STD**2 * IDENTITY[:2, :2]
    residual = GAUSSIAN(X_T, sigma) @ MATRIX.T - Y
    exact = exact_gradient(GAUSSIAN, LINEAR, Y, X_T, sigma)
    torch.testing.assert_close(exact, residual @ torch.linalg.inv(uncertain) @ MATRIX @ gain, rtol=1e-8, atol=1e-12)


def test_one_number_of_a_gaussian_points_the_right_way_but_the_energy_pulls_too_hard() -> None:
    """The energy counts the noise s only, not what is unknown of the image: too long by `(a C_t a^T + s^2) / s^2`."""
    sigma, y = 0.7, Y[:, :1]
    cloud = posterior_cloud(GAUSSIAN, X_T, sigma)
    unknown = float(cloud.weights @ ((cloud.points - GAUSSIAN(X_T, sigma)) @ MATRIX[0]).square())
    exact = exact_gradient(GAUSSIAN, ONE_NUMBER, y, X_T, sigma)
    at_mean = gradient_at_mean(GAUSSIAN, X_T, sigma, against(ONE_NUMBER.energy, y))
    torch.testing.assert_close(at_mean, exact * (unknown + NOISE_STD**2) / NOISE_STD**2)


def test_the_expected_distance_of_one_number_is_a_shorter_gradient() -> None:
    """`d E|r| = erf(|m| / sqrt(2 v)) d|m|` for a residual `r ~ N(m, v)`."""
    sigma = 0.7
    y = GAUSSIAN(X_T, sigma) @ MATRIX[:1].T - 0.5
    loss, cloud = against(ONE_NUMBER.distance, y), posterior_cloud(GAUSSIAN, X_T, sigma, num_points=65536)
    residuals = cloud.points @ MATRIX[0] - y
    mean, variance = float(residuals.mean()), float(residuals.var())
    expected = expected_gradient(cloud, sigma, loss)
    shorter = math.erf(abs(mean) / math.sqrt(2 * variance))
    at_mean = gradient_at_mean(GAUSSIAN, X_T, sigma, loss)
    assert shorter < 0.9
    torch.testing.assert_close(expected, shorter * at_mean, rtol=0.02, atol=0.02 * float(at_mean.norm()))


@pytest.mark.parametrize(("prior", "sigma"), list(product([MIXTURE, ATOMS], [0.7, 3.0])))
def test_a_linear_operator_is_not_enough_because_the_spread_of_the_samples_moves_with_x_t(
    prior: GaussianMixturePrior | FiniteAtomPrior, sigma: float
) -> None:
    """`E|A x_0 - y|^2 = |A D - y|^2 + tr(A Cov[x_0 | x_t] A^T)`, and `Cov[x_0 | x_t] = sigma^2 grad D(x_t)`."""

    def spread(x_t: Tensor) -> Tensor:
        jacobian = torch.autograd.functional.jacobian(lambda x_t: prior(x_t, sigma)[0], x_t, create_graph=True)
        return sigma**2 * torch.trace(MATRIX @ jacobian[:, 0] @ MATRIX.T) / (2 * NOISE_STD**2)

    loss = against(LINEAR.energy, Y)
    at_mean = gradient_at_mean(prior, X_T, sigma, loss)
    expected = expected_gradient(posterior_cloud(prior, X_T, sigma), sigma, loss)
    moves = torch.autograd.functional.jacobian(spread, X_T)
    torch.testing.assert_close(expected, at_mean + moves, rtol=1e-7, atol=1e-9)
    assert moves.norm() > 0.1 * at_mean.norm()


@pytest.mark.parametrize(
    "operator",
    [LINEAR, Pointwise(MATRIX, torch.abs, NOISE_STD), Pointwise(MATRIX, clipped, NOISE_STD)],
    ids=["linear", "magnitude", "clipped"],
)
def test_gradients_over_atoms_are_those_of_the_sums_that_define_them(operator: Operator) -> None:
    sigma, energies = 0.9, operator.energy(ATOMS.atoms, Y.expand(40, -1))

    def logits(x_t: Tensor) -> Tensor:
        return ATOMS.log_weights - (x_t - ATOMS.atoms).square().sum(1) / (2 * sigma**2)

    def slope(value: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.autograd.functional.jacobian(value, X_T)

    cloud = posterior_cloud(ATOMS, X_T, sigma)
    for measure in (operator.energy, operator.distance):
        values = measure(ATOMS.atoms, Y.expand(40, -1))
        expected = expected_gradient(cloud, sigma, against(measure, Y))
        torch.testing.assert_close(expected, slope(lambda x_t, values=values: logits(x_t).softmax(0) @ values))
    evidence = slope(lambda x_t: (logits(x_t) - energies).logsumexp(0) - logits(x_t).logsumexp(0))
    torch.testing.assert_close(exact_gradient(ATOMS, operator, Y, X_T, sigma), -evidence)


def test_a_measurement_that_is_saturated_at_the_mean_gives_it_no_gradient() -> None:
    prior = FiniteAtomPrior(torch.tensor([[-1.0], [2.0], [3.0]], dtype=torch.float64))
    operator = Pointwise(torch.ones(1, 1, dtype=torch.float64), clipped, NOISE_STD)
    x_t, y, sigma = torch.tensor([[2.0]]).double(), torch.tensor([[-1.0]]).double(), 2.0
    at_mean = gradient_at_mean(prior, x_t, sigma, against(operator.energy, y))
    assert float(at_mean) == 0
    assert float(exact_gradient(prior, operator, y, x_t, sigma)) > 0.1
    assert float(expected_gradient(posterior_cloud(prior, x_t, sigma), sigma, against(operator.energy, y))) > 0.1


@cache
def table() -> dict[tuple[str, str], Comparison]:
    return {(row.problem, row.loss): row for row in compare(sigmas=[1.0], draws=48)}


def test_the_table_of_gaussians_and_linear_operators_says_equal() -> None:
    row = table()["Gaussian, linear", "energy"]
    assert tuple(row.mean_to_expected) == pytest.approx((1, 1), abs=1e-9)
    assert row.mean_to_exact.cosine < 0.97
    assert row.mean_to_exact.ratio > 10


def test_with_a_linear_operator_the_mean_guides_better_by_the_energy_and_as_well_by_the_distance() -> None:
    energy, distance = (table()["mixture, linear", loss] for loss in ("energy", "distance"))
    assert max(row.mean_to_expected.cosine for row in (energy, distance)) < 0.9
    assert energy.mean_to_exact.cosine > energy.expected_to_exact.cosine + 0.04
    assert distance.mean_to_exact.cosine == pytest.approx(distance.expected_to_exact.cosine, abs=0.05)


@pytest.mark.parametrize(
    ("law", "operator", "loss"),
    list(product(["Gaussian", "mixture"], ["clipped", "magnitude"], ["distance", "energy"])),
)
def test_with_a_nonlinear_operator_samples_are_the_better_guide(law: str, operator: str, loss: str) -> None:
    row = table()[f"{law}, {operator}", loss]
    assert row.mean_to_expected.cosine < 0.75
    assert row.expected_to_exact.cosine > row.mean_to_exact.cosine + 0.15


def test_samples_given_the_measurement_satisfy_it_and_their_mean_does_where_the_operator_is_linear() -> None:
    """Theorem 3.1 and corollaries 3.2 and 3.3, which are about `x_0 | x_t, y`; of `x_0 | x_t` they would be false."""
    grid = torch.cartesian_prod(*[torch.tensor([-1.0, -0.4, 0.4, 1.0]).double()] * 3)
    prior, x_t, sigma = FiniteAtomPrior(grid), torch.tensor([[0.1, 0.2, -0.3]]).double(), 1.5
    means = {}
    for name, function in (("linear", torch.clone), ("magnitude", torch.abs)):
        operator = Pointwise(torch.eye(3, dtype=torch.float64)[:2], function, noise_std=1e-3)
        y = operator(grid[:1])
        points, weights = posterior_cloud(prior.posterior(operator, y), x_t, sigma)
        satisfied = operator.distance(points, y.expand(len(points), -1)) < 1e-9
        assert weights[satisfied].sum() == pytest.approx(1)
        assert posterior_cloud(prior, x_t, sigma).weights[satisfied].sum() < 0.3
        means[name] = float(operator.distance((weights @ points).unsqueeze(0), y))
    assert means["linear"] < 1e-9
    assert means["magnitude"] > 0.5


def test_agreement_is_a_mean_of_cosines_and_a_median_of_ratios() -> None:
    first = torch.tensor([[1.0, 0.0], [1e-100, 0.0], [0.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    second = torch.tensor([[2.0, 0.0], [1e-100, 1e-100], [3.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    assert tuple(agreement(first, second)) == pytest.approx(((1 + math.sqrt(0.5)) / 4, 0.5))


@pytest.mark.parametrize("wrong", [{"draws": 0}, {"sigmas": [0.0]}, {"sigmas": [-1.0]}])
def test_a_comparison_of_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="needs"):
        compare(small_problems()[:1], **wrong)


def test_comparisons_are_the_same_for_the_same_seed_and_print_as_one_table_per_problem(
    capsys: pytest.CaptureFixture[str],
) -> None:
    problems = [small_problems()[index] for index in (0, 3)]
    rows = compare(problems, [1.0, 2.0], draws=2)
    assert rows == compare(problems, [1.0, 2.0], draws=2)
    assert rows != compare(problems, [1.0, 2.0], draws=2, seed=1)
    assert [(row.problem, row.loss, row.sigma) for row in rows] == [
        (problem.name, loss, sigma) for problem in problems for sigma in (1.0, 2.0) for loss in ("distance", "energy")
    ]
    print_comparisons(rows)
    printed = capsys.readouterr().out
    assert [printed.count(problem.name) for problem in problems] == [1, 1]
    assert f"{rows[-1].mean_to_exact.cosine:.2f} {rows[-1].mean_to_exact.ratio:8.3g}" in printed
