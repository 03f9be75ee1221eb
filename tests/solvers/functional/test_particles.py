import math

import pytest
import torch

from dis_lightning.noise import NoiseSource
from dis_lightning.solvers.functional.particles import effective, first_samples, pick, resample, rows_of, uniforms

WEIGHTS = torch.tensor([[0.5, 0.25, 0.2, 0.05], [0.0, 1.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]])


def test_particles_are_worth_the_inverse_of_the_sum_of_squared_shares() -> None:
    logs = WEIGHTS.log() + torch.tensor([[3.0], [-700.0], [0.0]])
    expected = [1 / (0.25 + 0.0625 + 0.04 + 0.0025), 1.0, 4.0]
    assert effective(logs).tolist() == pytest.approx(expected)
    assert effective(torch.full((1, 4), -math.inf)).tolist() == [0.0]


@pytest.mark.parametrize("uniform", [0.001, 0.3, 0.5, 0.999])
def test_each_is_copied_as_often_as_its_share_but_for_rounding(uniform: float) -> None:
    chosen = resample(WEIGHTS.log(), torch.full((3, 1), uniform, dtype=torch.float64))
    counts = torch.stack([torch.bincount(row, minlength=4) for row in chosen])
    assert ((counts - 4 * WEIGHTS).abs() < 1).all()


def test_over_many_draws_the_copies_have_the_right_mean() -> None:
    draws = torch.arange(1000, dtype=torch.float64)[:, None] / 1000 + 0.0005
    chosen = resample(WEIGHTS[:1].log().expand(1000, -1), draws)
    counts = torch.bincount(chosen.flatten(), minlength=4) / 1000
    torch.testing.assert_close(counts, 4 * WEIGHTS[0], rtol=0, atol=2e-3)


def test_where_all_have_diverged_nothing_moves() -> None:
    chosen = resample(torch.full((1, 3), -math.inf), torch.tensor([[0.5]], dtype=torch.float64))
    assert chosen.tolist() == [[0, 1, 2]]


def test_samples_are_dealt_in_random_order_by_each_images_own_noise() -> None:
    logs = torch.zeros(3, 50)
    both = pick(logs, NoiseSource(0, [4, 0, 7]).samples(50))
    alone = pick(logs[:1], NoiseSource(0, [7]).samples(50))
    assert torch.equal(both[2], alone[0])
    assert both[0].sort().values.tolist() == list(range(50))
    assert both[0].tolist() != list(range(50))
    assert not torch.equal(both[0], both[1])


def test_rows_are_found_and_the_first_ones_taken() -> None:
    chosen = torch.tensor([[2, 0, 0], [1, 1, 2]])
    rows = torch.arange(6)[rows_of(chosen)]
    assert rows.tolist() == [2, 0, 0, 4, 4, 5]
    assert first_samples(rows, particles=3, num_samples=2).tolist() == [2, 0, 4, 4]


def test_one_uniform_number_comes_from_the_stream_of_the_first_particle() -> None:
    found = uniforms(NoiseSource(0, [3, 9]).samples(4), 4)
    drawn = NoiseSource(0, [3, 9]).samples(4).normal((8,), torch.float64)
    torch.testing.assert_close(found.flatten(), torch.special.ndtr(drawn[::4]))
