"""Noise levels against published values and against their defining properties."""

import math
from itertools import pairwise

import pytest
import torch

from dis_lightning.levels import KarrasLevels, Levels, MultistepLevels, karras
from dis_lightning.operators import AveragePool
from dis_lightning.priors import GaussianPrior
from dis_lightning.solvers import Unguided

THOUSAND = "0:80 1:79.5638 100:45.287 250:17.498 500:2.50397 750:0.16808 900:0.016447 998:0.0020502 999:0.002 1000:0"
HUNDRED = "0:80 1:75.69 33:9.723 50:2.4037 66:0.470 98:0.002558 99:0.002 100:0"


@pytest.mark.parametrize(("steps", "known"), [(1000, THOUSAND), (100, HUNDRED)])
def test_karras_levels_have_the_known_values(steps: int, known: str) -> None:
    levels = KarrasLevels(steps)
    assert len(levels) == steps + 1
    for index, _, value in (pair.partition(":") for pair in known.split()):
        half_a_digit = 0.5 * 10.0 ** -len(value.partition(".")[2])
        assert levels[int(index)] == pytest.approx(float(value), abs=half_a_digit)


@pytest.mark.parametrize(
    ("indices", "steps", "middle"),
    [
        ([0, 17, 39], 40, 4.36556),
        ([0, 18, 39], 40, 3.51970),
        ([0, 22, 39], 40, 1.38237),
        ([0, 67, 150], 151, 3.99122),
        ([0, 62, 150], 151, 5.24850),
        ([0, 106, 200], 201, 1.91284),
        ([0, 19, 39], 40, 2.81839),
    ],
)
def test_published_two_step_settings_have_the_known_times(indices: list[int], steps: int, middle: float) -> None:
    assert list(MultistepLevels(indices, steps)) == pytest.approx([80, middle, 0.002], abs=5e-6)


@pytest.mark.parametrize("rho", [1.0, 3.0, 7.0])
def test_karras_levels_are_evenly_spaced_in_the_root(rho: float) -> None:
    levels = KarrasLevels(12, sigma_min=0.01, sigma_max=5.0, rho=rho)
    roots = [sigma ** (1 / rho) for sigma in levels[:-1]]
    gaps = [a - b for a, b in pairwise(roots)]
    assert gaps == pytest.approx([(5.0 ** (1 / rho) - 0.01 ** (1 / rho)) / 11] * 11)


def test_all_indices_give_the_training_grid() -> None:
    assert list(MultistepLevels(range(40))) == pytest.approx(KarrasLevels(40)[:-1])


def test_one_step_goes_from_the_top_to_zero() -> None:
    assert list(KarrasLevels(1)) == pytest.approx([80.0, 0.0])


def test_the_ends_of_the_schedule_are_its_bounds() -> None:
    assert karras(0, 0.002, 80, 7) == pytest.approx(80, rel=1e-14)
    assert karras(1, 0.002, 80, 7) == pytest.approx(0.002, rel=1e-14)


def test_levels_are_an_ordinary_sequence_of_floats() -> None:
    levels = Levels([3, 2, 1])
    assert list(levels) == [3.0, 2.0, 1.0]
    assert all(type(sigma) is float for sigma in levels)
    assert (levels[-1], levels[1:], len(levels)) == (1.0, (2.0, 1.0), 3)
    assert repr(Levels([3, 2.5, 0])) == "Levels(sigmas=[3, 2.5, 0])"


@pytest.mark.parametrize("sigmas", [[], [1.0], [1.0, 1.0], [1.0, 2.0], [1.0, -0.5], [float("nan"), 0.0]])
def test_levels_that_do_not_fall_to_zero_or_above_are_refused(sigmas: list[float]) -> None:
    with pytest.raises(ValueError, match="two or more, strictly decreasing and >= 0"):
        Levels(sigmas)


@pytest.mark.parametrize(
    "arguments",
    [
        {"steps": 0},
        {"steps": 5, "sigma_min": 0.0},
        {"steps": 5, "sigma_min": 80.0},
        {"steps": 5, "sigma_max": 0.001},
        {"steps": 5, "rho": 0.0},
    ],
)
def test_karras_arguments_out_of_range_are_refused_with_their_values(arguments: dict[str, float]) -> None:
    name, value = list(arguments.items())[-1]
    with pytest.raises(ValueError, match=f"KarrasLevels needs .* {name}={value}"):
        KarrasLevels(**arguments)


@pytest.mark.parametrize("indices", [[0, 40], [-1, 5]])
def test_indices_outside_the_training_grid_are_refused(indices: list[int]) -> None:
    with pytest.raises(ValueError, match=r"lie in 0 \.\. 39"):
        MultistepLevels(indices)


def test_a_training_grid_of_one_level_is_refused() -> None:
    with pytest.raises(ValueError, match="MultistepLevels needs steps >= 2"):
        MultistepLevels([0], steps=1)


def test_indices_that_do_not_increase_are_refused() -> None:
    with pytest.raises(ValueError, match="strictly decreasing"):
        MultistepLevels([0, 20, 20])


@pytest.mark.parametrize("kind", [KarrasLevels, MultistepLevels])
@pytest.mark.parametrize("wrong", [None, math.nan, math.inf, -1.0])
def test_a_number_of_the_grid_that_is_none_or_out_of_range_is_named(kind: type[Levels], wrong: float | None) -> None:
    first = 5 if kind is KarrasLevels else [0, 3]
    for name in ("sigma_min", "sigma_max", "rho"):
        with pytest.raises((TypeError, ValueError), match=rf"{kind.__name__} needs .*{name}.* but got .*"):
            kind(first, **{name: wrong})
    with pytest.raises(TypeError, match=rf"{kind.__name__} needs a number as `steps`, but got none"):
        kind(steps=None, **({} if kind is KarrasLevels else {"indices": [0, 3]}))


def test_levels_that_are_none_or_infinite_are_refused() -> None:
    with pytest.raises(TypeError, match="Levels needs a number as `sigmas`, but got none"):
        Levels([1.0, None])
    with pytest.raises(ValueError, match="none infinite, but got"):
        Levels([math.inf, 1.0])
    with pytest.raises(TypeError, match="MultistepLevels needs a number as `indices`, but got none"):
        MultistepLevels([0, None])


def test_a_walk_that_leaves_noise_on_its_samples_is_warned_of() -> None:
    operator, prior = AveragePool(2), GaussianPrior(torch.zeros(1, 4, 4), torch.eye(16))
    with pytest.warns(UserWarning, match=r"Unguided end at 0.1, so that its samples keep noise .* 13 grey levels"):
        Unguided(operator, prior, Levels([2.0, 0.1]))
    Unguided(operator, prior, Levels([2.0, 0.005]))  # less than a grey level


def test_the_level_below_is_where_a_step_goes() -> None:
    levels = Levels([3.0, 1.0, 0.5, 0.0])
    assert [levels.below(sigma) for sigma in (9.0, 3.0, 2.0, 1.0, 0.5)] == [3.0, 1.0, 1.0, 0.5, 0.0]
    assert Levels([3.0, 0.5]).below(0.5) == 0.0
