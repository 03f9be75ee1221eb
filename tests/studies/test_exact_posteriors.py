"""Every solver on exact posteriors: the command's table in small, and the bounds that must hold in it."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from dis_lightning.meters import CostMeter
from dis_lightning.priors import Denoiser, FlowMap
from studies import exact_posteriors
from studies.calibration import Calibration
from studies.contestants import CONTESTANTS, EVALUATIONS, Contestant
from studies.exact_posteriors import PROBLEMS, STRENGTHS, all_trials, applies, compare, strength, tune
from studies.problems import gaussian_problem, walk_problem
from studies.score_table import Row, nearest, sheets
from studies.scores import moments
from studies.trials import PosteriorTrial, Score, Trial

GAUSSIAN, MIXTURE, _, _, PHASE, _, SEGMENTATION, WALK = range(len(PROBLEMS))
GUIDED = ["DPS", "LGD", "FreeDoM", "MPGD", "Xu I: mean + noise"]


def contestant(name: str) -> Contestant:
    return next(found for found in CONTESTANTS if found.name == name)


@cache
def small_trials() -> list[Trial]:
    """Five of the problems, fewer samples, shorter chains, and consistency maps of fewer steps."""
    trials = []
    for trial in all_trials(num_samples=60, measurements=2, images=10):
        if isinstance(trial.consistency, FlowMap):
            flow = FlowMap(trial.problem.prior, steps=4, sigma_min=trial.sigma_min)
            trial = replace(trial, consistency=flow)
        trials.append(replace(trial, chain_evaluations=min(trial.chain_evaluations, 80)))
    return [trials[place] for place in (GAUSSIAN, MIXTURE, PHASE, SEGMENTATION, WALK)]


@pytest.fixture(scope="module")
def rows() -> dict[str, Row]:
    return {row.name: row for row in compare(small_trials())}


@cache
def long_chains() -> PosteriorTrial:
    """The Gaussian, whose consistency map is linear, with many chains that are long enough to forget their start."""
    trial = all_trials(measurements=1)[GAUSSIAN]
    return replace(trial, num_samples=450, chains=150, chain_evaluations=800, sigma_max=1000.0)


def assert_chains_have_law(samples: Tensor, mean: Tensor, covariance: Tensor) -> None:
    """Mean and covariance within 5 standard errors, which the independent chains themselves tell.

    In coordinates in which the exact posterior is white, so that an error of a narrow direction is seen.
    """
    _, exact = moments(long_chains().problem.posterior)
    whiten = torch.linalg.inv(torch.linalg.cholesky(exact))
    deviations = (samples[0].double().unflatten(0, (long_chains().chains, -1)) - mean) @ whiten.T
    products = torch.einsum("cnd, cne -> cnde", deviations, deviations) - whiten @ covariance @ whiten.T
    for values in (deviations, products):
        per_chain = values.mean(dim=1)
        error = per_chain.std(dim=0) / math.sqrt(len(per_chain))
        assert (per_chain.mean(dim=0).abs() < 5 * error).all()


@pytest.mark.parametrize("found", CONTESTANTS, ids=lambda found: found.name)
def test_nobody_spends_more_evaluations_than_it_says(found: Contestant) -> None:
    """Chains have their trial's; the first evaluation of each step of the generator is the start and not counted."""
    trial = replace(small_trials()[0], num_samples=20, chains=4, chain_evaluations=100)
    solver = found.build(trial, 0.01)
    networks = [child for child in solver.children() if isinstance(child, Denoiser)]
    with CostMeter(networks, torch.device("cpu")) as meter:
        trial.draw(solver)
    per_image = meter.evaluations / len(trial.problem.y)
    if solver.rows_per_image == trial.chains:
        assert per_image <= 4 * (trial.chain_evaluations + 2)
    else:
        assert found.budget / 2 < per_image / (20 * EVALUATIONS) <= found.budget or found.budget == 1
        assert per_image <= 20 * EVALUATIONS * found.budget


def test_every_strength_is_a_candidate_that_was_tuned_for_every_problem() -> None:
    tuned = [found for found in CONTESTANTS if found.name in STRENGTHS]
    assert set(STRENGTHS) == {found.name for found in tuned}
    for found in tuned:
        assert len(STRENGTHS[found.name]) == len(PROBLEMS)
        assert set(STRENGTHS[found.name]) <= set(found.candidates)
        assert sorted(set(found.candidates)) == list(found.candidates)
        assert len(found.candidates) == 7
    assert {found.tuned_as for found in CONTESTANTS} - {""} <= set(STRENGTHS)


def test_a_contestant_need_not_be_tuned() -> None:
    trial = small_trials()[0]
    new = contestant("MPGD")._replace(name="new", candidates=(0.1, 3.0, 7.0))
    assert strength(new, trial) == 3.0
    assert strength(new._replace(candidates=()), trial) == 0.0
    assert [row.name for row in compare([trial], [new])] == ["exact samples", "new"]


def test_the_trials_are_those_that_the_strengths_belong_to() -> None:
    trials = all_trials(5, 1, 2)
    assert tuple(trial.problem.name for trial in trials) == PROBLEMS
    assert strength(contestant("HMC, 2 steps"), trials[MIXTURE]) == STRENGTHS["HMC, 1 step"][MIXTURE]


def test_nothing_in_the_table_is_not_a_number(rows: dict[str, Row]) -> None:
    for name, row in rows.items():
        for trial, scores in zip(small_trials(), row.scores, strict=True):
            applicable = name == "exact samples" or applies(contestant(name), trial)
            assert (scores is not None) == applicable
            assert scores is None or len(scores) == len(trial.columns)
            assert all(math.isfinite(score.value) for score in scores or ())


@pytest.mark.parametrize("name", GUIDED)
def test_guided_solvers_beat_the_unguided_prior(name: str, rows: dict[str, Row]) -> None:
    for guided, prior in zip(rows[name].scores, rows["prior, unguided"].scores, strict=True):
        assert guided[0].value < 0.97 * prior[0].value


def test_the_exact_conditional_denoiser_is_near_the_floor(rows: dict[str, Row]) -> None:
    oracle, floor = rows["exact conditional denoiser"].scores, rows["exact samples"].scores
    assert all(found[0].value < 1.5 * best[0].value + 0.05 for found, best in zip(oracle, floor, strict=True))


def test_the_four_cells_of_the_first_paper_begin_with_dps(rows: dict[str, Row]) -> None:
    assert rows["Xu I: mean (DPS)"].scores == rows["DPS"].scores


@pytest.mark.parametrize("name", ["MALA, 1 step", "HMC, 1 step"])
def test_chains_with_an_accept_step_reach_the_exact_posterior(name: str) -> None:
    trial, found = long_chains(), contestant(name)
    samples = trial.draw(found.build(trial, strength(found, trial)))
    assert_chains_have_law(samples, *moments(trial.problem.posterior))


def euler_maruyama(curvature: Tensor, tau: float) -> Tensor:
    """`S = M S M + 2 tau` with `M = 1 - tau (1 + H)`."""
    precision = torch.eye(len(curvature)) + curvature
    return torch.linalg.inv(precision @ (torch.eye(len(curvature)) - tau / 2 * precision))


def exponential_integrator(curvature: Tensor, tau: float) -> Tensor:
    """`S = M S M + 1 - e^(-2 tau)` with `M = e^-tau - (1 - e^-tau) H`."""
    step = math.exp(-tau) * torch.eye(len(curvature)) + math.expm1(-tau) * curvature
    return -math.expm1(-2 * tau) * torch.linalg.inv(torch.eye(len(curvature)) - step @ step)


@pytest.mark.parametrize(
    ("name", "law"), [("Langevin EM, 1 step", euler_maruyama), ("Langevin EI, 1 step", exponential_integrator)]
)
def test_langevin_chains_reach_the_posterior_but_for_the_known_bias(
    name: str, law: Callable[[Tensor, float], Tensor]
) -> None:
    trial, found = long_chains(), contestant(name)
    operator = trial.problem.operator
    unit = trial.consistency(trial.sigma_max * torch.eye(6), trial.sigma_max).double()
    matrix = (unit - trial.consistency(torch.zeros(1, 6), trial.sigma_max).double()).T
    forward = operator.matrix((6,)) @ matrix
    curvature = forward.T @ forward / operator.noise_std**2
    # Half of the step size at which the chain would diverge: the narrowest direction gets twice its variance.
    tau = 1 / (1 + float(torch.linalg.eigvalsh(curvature).max()))
    biased = matrix @ law(curvature, tau) @ matrix.T
    mean, exact = moments(trial.problem.posterior)
    samples = trial.draw(found.build(trial, tau))
    assert_chains_have_law(samples, mean, biased)
    with pytest.raises(AssertionError):
        assert_chains_have_law(samples, mean, exact)


def calibration(images: int) -> Calibration:
    trial = all_trials(5, 1, 2)[WALK]
    assert isinstance(trial, Calibration)
    return replace(trial, problem=walk_problem(images))


def test_the_exact_sampler_of_random_walks_is_calibrated() -> None:
    trial = calibration(200)
    distance, gap, covered = (score.value for score in trial.scores(trial.exact()))
    assert abs(covered - 0.9) < 5 * math.sqrt(0.9 * 0.1 / 200)
    # The mean of 19 exact samples has the error of the exact mean and a nineteenth more, but for their product.
    covariance = trial.spread.covariance
    error = 2 * float(covariance.square().sum() / (19 * 200)) ** 0.5 / float(covariance.trace())
    assert abs(10 ** (gap / 10) - (1 + 1 / 19)) < 5 * error
    assert distance < 0.05


def test_the_exact_means_of_a_calibration_are_those_of_added_precisions() -> None:
    trial = calibration(3)
    prior, operator = trial.problem.prior, trial.problem.operator
    a, precision = operator.matrix((64,)), torch.linalg.inv(prior.covariance)
    covariance = torch.linalg.inv(precision + a.T @ a / operator.noise_std**2)
    torch.testing.assert_close(trial.spread.covariance, covariance, rtol=1e-5, atol=1e-7)
    means = trial.problem.y.double() @ a @ covariance / operator.noise_std**2
    torch.testing.assert_close(trial.means, means, rtol=1e-4, atol=1e-5)


def test_the_oracle_of_a_calibration_is_the_conditional_denoiser_of_each_row() -> None:
    trial = calibration(3)
    x_t = 3 * torch.randn(3 * 19, 64, generator=torch.Generator().manual_seed(0))
    problem = trial.problem
    for image in range(3):
        own = slice(19 * image, 19 * (image + 1))
        expected = problem.prior.posterior(problem.operator, problem.y[image : image + 1])(x_t[own], 1.5)
        torch.testing.assert_close(trial.oracle(x_t, 1.5)[own], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["DPS", "Langevin EM, 1 step"])
def test_tuning_finds_the_best_candidate_on_another_image(name: str) -> None:
    trial, found = small_trials()[0], contestant(name)
    other = trial.again(1)
    assert not torch.equal(other.problem.y, trial.problem.y)
    errors = [other.scores(other.draw(found.build(other, value)))[0].value for value in found.candidates]
    best = min(error for error in errors if not math.isnan(error))
    assert errors[found.candidates.index(tune(found, trial))] == best


def test_strengths_are_tuned_on_images_that_no_table_has() -> None:
    tuned = replace(small_trials()[0], problem=gaussian_problem(6, 3, images=5)).again(1)
    seen = gaussian_problem(6, 3, images=200).truth
    assert not (tuned.problem.truth[:, None] == seen).all(-1).any()


def test_a_sampler_that_diverges_scores_nan() -> None:
    for trial in small_trials():
        samples = torch.full_like(trial.exact(), math.inf)
        assert all(math.isnan(score.value) for score in trial.scores(samples))


def test_scores_are_means_over_the_measurements_with_their_standard_errors() -> None:
    trial = small_trials()[0]
    samples = trial.exact()
    assert isinstance(trial, PosteriorTrial)
    alone = [trial.judge(single, x)[0] for single, x in zip(trial.problem.singles, samples, strict=True)]
    found = trial.scores(samples)[0]
    assert found.value == pytest.approx(sum(alone) / 2)
    assert found.error == pytest.approx(abs(alone[0] - alone[1]) / 2)


def test_the_error_of_a_calibration_is_that_of_its_coverage() -> None:
    """Of a mean, a jackknife gives the usual standard error; groups of images make it rougher."""
    trial = calibration(200)
    covered = trial.scores(trial.exact())[2]
    assert covered.error == pytest.approx(math.sqrt(covered.value * (1 - covered.value) / 200), rel=0.6)


def test_the_oracle_of_several_measurements_gives_each_row_its_own_posterior() -> None:
    trial = small_trials()[1]
    x_t = 20 * torch.randn(2 * 3, 8, generator=torch.Generator().manual_seed(0))
    levels = torch.linspace(1, 6, 6)
    for image, single in enumerate(trial.problem.singles):
        own = slice(3 * image, 3 * (image + 1))
        torch.testing.assert_close(trial.oracle(x_t, 4.0)[own], single.posterior(x_t[own], 4.0))
        torch.testing.assert_close(trial.oracle(x_t, levels)[own], single.posterior(x_t[own], levels[own]))


def test_the_command_prints_the_table_and_who_is_nearest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = small_trials()[:1]
    monkeypatch.setattr(exact_posteriors, "all_trials", lambda: trials)
    monkeypatch.setattr(exact_posteriors, "compare", lambda trials: compare(trials, CONTESTANTS[:3]))
    found = sheets(trials, compare(trials, CONTESTANTS[:3]))
    exact_posteriors.main(["--markdown"])
    assert capsys.readouterr().out == "".join(f"{sheet.as_markdown()}\n\n" for sheet in found)
    exact_posteriors.main([])
    printed = capsys.readouterr().out
    for sheet in found:
        assert sheet.title in printed
        assert all(cell in printed for line in sheet.lines for cell in line)


def test_sheets_leave_what_cannot_be_tried_empty() -> None:
    trials = small_trials()[:2]
    scores = tuple(Score(*score) for score in ((0.123, 0.014), (1.0,), (250.4, 3.0), (0.5,)))
    exact = Row("exact", (scores, scores), ((0.0, 0.0),) * 2, sampler=False)
    row = Row("solver", (scores, None), ((50.0, 100.2), None))
    other = Row("other", (scores, scores), ((20.0, 19.6), (200.0, 20.4)))
    distances, _, others = sheets(trials, [exact, row, other])
    assert distances.headings == ("solver", "Gaussian, 6", "mixture, 8", "evaluations", "gradients")
    assert distances.lines[1:] == (
        ("solver", "0.123 ± 0.014", "-", "50", "100"),
        ("other", "0.123 ± 0.014", "0.123 ± 0.014", "20 to 200", "20"),
    )
    assert others.headings[1:4] == ("Gaussian, 6: mean", "Gaussian, 6: cov", "Gaussian, 6: cover")
    assert others.lines[1] == ("solver", "1.00", "250", "0.50", "-", "-", "-")
    assert distances.as_markdown().splitlines()[-1] == "| other | 0.123 ± 0.014 | 0.123 ± 0.014 | 20 to 200 | 20 |"


def test_the_nearest_is_the_best_of_those_that_do_not_know_the_posterior() -> None:
    trials, cost = [small_trials()[2]], ((50.0, 0.0),)
    rows = [
        Row("exact", ((Score(0.1),),), cost, sampler=False),
        Row("oracle", ((Score(0.11),),), cost, sampler=False),
        Row("cannot", (None,), (None,)),
        Row("diverged", ((Score(math.nan),),), cost),
        Row("far", ((Score(0.3),),), cost),
        Row("near", ((Score(0.15, 0.02),),), cost),
    ]
    (best,) = nearest(trials, rows)
    assert (best.name, best.ratio) == ("near", pytest.approx(1.5))
    sheet = sheets(trials, [row for row in rows if row.name != "cannot"])[-1]  # atoms have no other scores
    assert sheet.lines == (("atoms, phase", "near", "0.150 ± 0.020", "0.10", "1.50", "50", "0"),)
