"""Noise streams: keyed by (seed, image, sample) alone, standard normal, and independent of one another."""

import math
import threading
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from conformance.catalogue import SHAPE as IMAGE
from conformance.catalogue import build_solver

from dis_lightning import noise
from dis_lightning.noise import Ahead, NoiseSource, keyed_generator
from dis_lightning.operators import AveragePool
from dis_lightning.priors import GaussianPrior

SHAPE = (3, 4, 4)


def draw(*indices: int, seed: int = 0, size: int = 48) -> torch.Tensor:
    return NoiseSource(seed, list(indices)).normal((len(indices), size))


def test_a_stream_is_the_same_in_any_batch_and_order() -> None:
    together = draw(5, 2, 9, 0)
    assert torch.equal(together, torch.cat([draw(index) for index in (5, 2, 9, 0)]))
    assert torch.equal(together.flip(0), draw(0, 9, 2, 5))


def test_a_stream_goes_on_where_it_stopped_whatever_the_others_do() -> None:
    both, alone = NoiseSource(3, [4, 7]), NoiseSource(3, [7])
    for _ in range(3):
        assert torch.equal(both.normal((2, 20))[1:], alone.normal((1, 20)))
    assert not torch.equal(alone.normal((1, 20)), alone.normal((1, 20)))


def test_equal_keys_give_equal_bits_and_any_other_key_other_numbers() -> None:
    keys = [(seed, index) for seed in (0, 1, 2**40) for index in (0, 1, 2, 2**33)]
    streams = [draw(index, seed=seed) for seed, index in keys]
    assert all(torch.equal(stream, draw(index, seed=seed)) for stream, (seed, index) in zip(streams, keys, strict=True))
    first = {float(stream[0, 0]) for stream in streams}
    assert len(first) == len(keys)


def test_indices_may_come_as_a_tensor() -> None:
    assert torch.equal(NoiseSource(1, torch.tensor([3, 8])).normal((2, 5)), NoiseSource(1, [3, 8]).normal((2, 5)))


def test_like_has_the_shape_and_type_of_its_argument() -> None:
    x = torch.zeros(2, *SHAPE, dtype=torch.float64)
    drawn = NoiseSource(0, [1, 2]).like(x)
    assert (drawn.shape, drawn.dtype) == (x.shape, x.dtype)
    assert torch.equal(drawn, NoiseSource(0, [1, 2]).normal((2, *SHAPE)).double())


def test_samples_are_streams_of_their_own_image_by_image() -> None:
    source = NoiseSource(6, [10, 20])
    assert source.samples(3).keys == [(10, 0), (10, 1), (10, 2), (20, 0), (20, 1), (20, 2)]
    rows = source.samples(3).normal((6, 30))
    assert torch.equal(rows[3:], NoiseSource(6, [20]).samples(3).normal((3, 30)))
    assert torch.equal(rows[[0, 1, 3, 4]], source.samples(2).normal((4, 30)))
    assert len({*rows[:, 0].tolist(), *source.normal((2, 30))[:, 0].tolist()}) == 8


def test_samples_do_not_depend_on_what_was_drawn_before() -> None:
    fresh, used = NoiseSource(0, [1]), NoiseSource(0, [1])
    used.normal((1, 100))
    assert torch.equal(fresh.samples(2).normal((2, 9)), used.samples(2).normal((2, 9)))


def test_neighbours_share_no_key() -> None:
    """Image 1 of seed 0, image 0 of seed 1 and sample 1 of image 0 are three streams."""
    others = [draw(1), draw(0, seed=1), NoiseSource(0, [0]).samples(2).normal((2, 48))[1:]]
    assert len({float(other[0, 0]) for other in others}) == 3


def test_a_stream_is_a_mersenne_twister_that_its_key_fills_whole() -> None:
    """So no two keys share a stream by a short seed. NumPy has a twister too, which starts from the same words."""
    words = np.random.PCG64(np.random.SeedSequence(7, spawn_key=(3, 1))).random_raw(624) >> np.uint64(32)
    twister = np.random.MT19937()
    twister.state = {"bit_generator": "MT19937", "state": {"key": words.astype(np.uint32), "pos": 624}}
    drawn = torch.empty(2000, dtype=torch.int64).random_(2**20, generator=keyed_generator(7, (3, 1)))
    assert torch.equal(drawn, torch.from_numpy(twister.random_raw(2000).astype(np.int64) % 2**20))


def test_streams_that_agree_in_32_bits_of_a_seed_are_two() -> None:
    keys = [(671, 11), (1954, 24)]
    seeds = [np.random.SeedSequence(0, spawn_key=key).generate_state(1, np.uint64) % 2**32 for key in keys]
    assert seeds[0] == seeds[1]
    first, second = (torch.randn(48, generator=keyed_generator(0, key)) for key in keys)
    assert not torch.isclose(first, second).any()


def test_every_use_has_streams_of_its_own_that_its_name_alone_decides() -> None:
    uses = ("", "judge", "ksd", "judge")
    drawn = [NoiseSource(0, [1], use=use).samples(2).normal((2, 48)) for use in uses]
    assert len({float(numbers[1, 0]) for numbers in drawn}) == 3
    assert torch.equal(drawn[1], drawn[3])


def test_numbers_are_standard_normal() -> None:
    numbers = draw(*range(200), size=1000).double().flatten()
    count = len(numbers)
    # Standard errors of the first four moments of N(0, 1): their variances are 1, 2, 15 and 96 over the count.
    for power, (truth, variance) in enumerate([(0, 1), (1, 2), (0, 15), (3, 96)], start=1):
        assert abs(numbers.pow(power).mean() - truth) < 5 * np.sqrt(variance / count)
    assert scipy.stats.kstest(numbers.numpy(), "norm").pvalue > 1e-4


def test_first_numbers_of_many_streams_are_standard_normal() -> None:
    """A stream's start must be as good as its middle: seeds that lie close must not give numbers that lie close."""
    first = NoiseSource(0, [0]).samples(20_000).normal((20_000, 1)).double().flatten()
    assert scipy.stats.kstest(first.numpy(), "norm").pvalue > 1e-4
    assert abs((first[1:] * first[:-1]).mean()) < 5 / np.sqrt(len(first) - 1)


@pytest.mark.parametrize("neighbour", ["index", "seed", "sample", "draw"])
def test_neighbouring_streams_are_uncorrelated(neighbour: str) -> None:
    size = 100_000
    source = NoiseSource(0, [0])
    pairs = {
        "index": (draw(0, size=size), draw(1, size=size)),
        "seed": (draw(0, size=size), draw(0, seed=1, size=size)),
        "sample": tuple(source.samples(2).normal((2, size)).split(1)),
        "draw": (source.normal((1, size)), source.normal((1, size))),
    }
    first, second = pairs[neighbour]
    # The correlation of independent normal numbers has the standard error 1 / sqrt(size).
    assert abs((first * second).mean()) < 5 / np.sqrt(size)
    assert abs((first.square() * second.square()).mean() - 1) < 5 * np.sqrt(8 / size)


@pytest.mark.parametrize(("seed", "indices"), [(-1, [0]), (0, [3, -1]), (0, torch.tensor([-2]))])
def test_negative_keys_are_refused(seed: int, indices: list[int] | torch.Tensor) -> None:
    with pytest.raises(ValueError, match="needs a seed and indices >= 0"):
        NoiseSource(seed, indices)


@pytest.mark.parametrize("shape", [(), (3, 4), (1, 2)])
def test_a_shape_without_one_row_per_stream_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="has 2 streams"):
        NoiseSource(0, [0, 1]).normal(shape)


A, B, C = (2, 3, 5, 5), (2,), (2, 17)


@pytest.mark.parametrize(
    "asked",
    [[A] * 4, [A, B] * 3, [A, A, B] * 3, [A, B, C, A, C, B, B, A, A], [B, (2, 16), B, (2, 16), (2, 15), (2, 33)]],
    ids=["one shape", "in turns", "two and one", "any order", "shapes that the generator fills in other ways"],
)
def test_numbers_drawn_ahead_are_those_that_would_be_drawn_when_asked_for(asked: list[tuple[int, ...]]) -> None:
    plain, streams = NoiseSource(5, [3, 8]), NoiseSource(5, [3, 8])
    ahead = Ahead(streams._generators)
    for shape in asked:
        assert torch.equal(ahead.draw(shape), plain.normal(shape))


def test_what_follows_is_prepared_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the second round on, the thread that asks draws nothing itself."""
    drawn_by = []
    draw = noise._draw

    def look(*arguments: Any) -> torch.Tensor:
        drawn_by.append(threading.current_thread() is threading.main_thread())
        return draw(*arguments)

    monkeypatch.setattr(noise, "_draw", look)
    ahead = Ahead(NoiseSource(0, [1, 2])._generators)
    for shape in [A, B] * 4:
        ahead.draw(shape)
    assert drawn_by.count(True) == 3  # A at first, B and A where more of the same was expected


def test_numbers_that_were_given_are_not_written_to_again() -> None:
    ahead = Ahead(NoiseSource(0, [1, 2])._generators)
    given = [ahead.draw(A) for _ in range(3)]
    kept = [numbers.clone() for numbers in given]
    ahead.draw(B)
    assert all(map(torch.equal, given, kept))
    assert len({float(numbers[0, 0, 0, 0]) for numbers in given}) == 3


def test_ahead_in_inference_mode() -> None:
    ahead = Ahead(NoiseSource(0, [1, 2])._generators)
    with torch.inference_mode():
        found = [ahead.draw(A) for _ in range(2)]
    plain = NoiseSource(0, [1, 2])
    assert all(torch.equal(numbers, plain.normal(A)) for numbers in found)


@pytest.mark.parametrize("name", ["DPS", "FreeDoM", "NoiseSpaceLangevin", "TDS"])
def test_a_solver_samples_the_same_with_noise_drawn_ahead(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    prior = GaussianPrior(torch.zeros(IMAGE), 0.25 * torch.eye(math.prod(IMAGE)))
    solver = build_solver(name, operator=AveragePool(2, noise_std=0.1), denoiser=prior, num_samples=2)

    def samples() -> torch.Tensor:
        noise = NoiseSource(0, [4, 1])
        return solver.solve(solver.operator.measure(torch.zeros(2, *IMAGE), noise), noise)

    wanted = samples()
    monkeypatch.setenv("DIS_LIGHTNING_NOISE_AHEAD", "1")
    assert NoiseSource(0, [4])._ahead is not None
    assert torch.equal(samples(), wanted)
