"""Diagnostics of chains whose autocorrelation, disagreement or acceptance is known."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from dis_lightning.kernels import MALA, EulerMaruyama
from dis_lightning.levels import Levels
from dis_lightning.meters import AcceptanceMeter
from dis_lightning.metrics.functional import diagnose
from dis_lightning.metrics.functional.chains import of_independent
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import MatrixOperator
from dis_lightning.priors import GaussianPrior
from dis_lightning.solvers.langevin import NoiseSpaceLangevin


def autoregressive(correlation: float, chains: int, length: int) -> Tensor:
    """Stationary chains with autocorrelation `correlation^lag` in every value, `(1, chains * length, 3, 2, 2)`."""
    n = torch.randn(length, chains, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = [n[0]]
    for step in n[1:]:
        values.append(correlation * values[-1] + math.sqrt(1 - correlation**2) * step)
    return torch.stack(values, dim=1).reshape(1, -1, 3, 2, 2)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_the_effective_size_of_an_autoregressive_chain_is_known(correlation: float) -> None:
    """C n (1 - rho) / (1 + rho); the least over directions may miss it by the estimator's own error."""
    found = diagnose(autoregressive(correlation, chains=4, length=4000), chains=4, directions=4)
    expected = 16000 * (1 - correlation) / (1 + correlation)
    assert found.effective_sample_size.item() == pytest.approx(expected, rel=0.25)
    assert found.split_r_hat.item() == pytest.approx(1, abs=0.02)


def test_the_split_r_hat_is_the_textbook_s() -> None:
    samples = autoregressive(0.8, chains=3, length=20)
    found = diagnose(samples, chains=3, directions=1).split_r_hat.item()
    direction = torch.randn(12, 1, generator=torch.Generator().manual_seed(0)).double().numpy()
    halves = (samples.flatten(2).numpy()[0] @ direction).reshape(6, 10)
    within, between = halves.var(axis=1, ddof=1).mean(), 10 * halves.mean(axis=1).var(ddof=1)
    assert found == pytest.approx(np.sqrt((0.9 * within + between / 10) / within), rel=1e-9)


def test_what_independent_samples_have_is_known_and_tends_to_the_textbook_s() -> None:
    found = diagnose(torch.randn(20, 24, 3, 8, 8, generator=torch.Generator().manual_seed(1)), chains=2)
    for values, expected in zip(found, of_independent(24, 2), strict=True):
        assert abs(values.mean() - expected) < 4 * values.std() / 20**0.5
    many = of_independent(4000, 4, images=10)
    assert float(many.split_r_hat) < 1.01 < 1.2 < float(of_independent(24, 1).split_r_hat)
    assert float(many.effective_sample_size) == pytest.approx(4000, rel=0.15)  # the least of 32


def test_chains_that_disagree_are_found_image_by_image() -> None:
    good = autoregressive(0.0, chains=2, length=200)
    bad = good.clone()
    bad[:, :200] += 3
    size, r_hat = diagnose(torch.cat([good, bad]), chains=2)
    assert r_hat[0] < 1.05
    assert r_hat[1] > 1.5
    assert size[1] < 0.1 * size[0]


def test_images_that_never_move_or_are_lost_have_no_numbers() -> None:
    lost = autoregressive(0.0, chains=1, length=10)
    lost[0, 3] = math.nan
    for value in diagnose(torch.cat([torch.ones(1, 10, 3, 2, 2), lost, autoregressive(0.0, 1, 10)])):
        assert value.isnan().tolist() == [True, True, False]


@pytest.mark.parametrize(("length", "known"), [(7, [False, False]), (9, [False, True]), (10, [True, True])])
def test_chains_too_short_for_a_diagnosis_have_none(length: int, known: list[bool]) -> None:
    """The library would give short chains a size that is the same for all."""
    found = diagnose(autoregressive(0.9, chains=2, length=length), chains=2)
    assert [value.isfinite().item() for value in found] == known


@pytest.mark.parametrize(("samples", "chains"), [(3, 1), (9, 2), (6, 2), (8, 0)])
def test_too_few_samples_are_refused(samples: int, chains: int) -> None:
    with pytest.raises(ValueError, match="at least 4 samples per chain and chains of equal length"):
        diagnose(torch.zeros(1, samples, 3, 2, 2), chains)


PRIOR = GaussianPrior(torch.zeros(2), torch.eye(2, dtype=torch.float64))
OPERATOR = MatrixOperator(torch.eye(2), noise_std=0.5)


def acceptance(kernel: EulerMaruyama | MALA) -> tuple[Tensor, Tensor]:
    """What the meter says of two images with three chains each, and the images of all moves, `(2, 3, moves, 2)`."""
    meter, parts = AcceptanceMeter(chains=3, warm_start=4), {"num_samples": 3 * 50, "chains": 3, "warm_start": 4}
    solver = NoiseSpaceLangevin(OPERATOR, PRIOR.consistency_map(), Levels([80.0, 0.002]), kernel=kernel, **parts)
    solver.observers.append(meter)
    samples = solver.solve(torch.tensor([[0.5, 0.2], [9.0, 9.0]]), NoiseSource(0, [0, 1]))
    return meter.per_image(), samples.unflatten(1, (3, 50))


def test_acceptance_is_the_share_of_moves_that_changed_the_image() -> None:
    rate, samples = acceptance(MALA(0.3))
    moved = (samples.diff(dim=2) != 0).any(dim=3).double().mean(dim=(1, 2))
    assert (rate > 0.4).all()
    assert (rate < 0.99).all()
    # The samples do not tell whether the first of the 50 moves of each chain was accepted.
    torch.testing.assert_close(rate, moved, rtol=0, atol=1 / 50)


def test_a_kernel_without_an_accept_step_accepts_everything() -> None:
    assert acceptance(EulerMaruyama(0.1))[0].tolist() == [1.0, 1.0]


def test_a_meter_that_has_seen_nothing_says_so() -> None:
    with pytest.raises(ValueError, match="two steps of a chain"):
        AcceptanceMeter().per_image()
