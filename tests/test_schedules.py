import math

import pytest
import torch
from diffusers import DDPMScheduler

from dis_lightning.levels import VPLevels
from dis_lightning.schedules import DiscreteSchedule

NAMES = ("linear", "scaled_linear", "cosine")
OTHERS = {
    "linear": {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
    "scaled_linear": {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
}
ENDS = {"linear": (0.0100, 157.4), "scaled_linear": (0.0292, 14.6), "cosine": (0.0064, 20291.0)}


@pytest.mark.parametrize("name", NAMES)
def test_the_levels_are_those_of_diffusers(name: str) -> None:
    theirs = DDPMScheduler(num_train_timesteps=1000, **OTHERS[name]).alphas_cumprod.double()
    ours = DiscreteSchedule.named(name).sigmas
    # They multiply a thousand numbers in float32, and near 1 the last of them count.
    torch.testing.assert_close(ours, (1 / theirs - 1).sqrt(), rtol=2e-2 if name == "cosine" else 2e-3, atol=0)
    assert (float(ours[0]), float(ours[-1])) == pytest.approx(ENDS[name], rel=5e-3)


@pytest.mark.parametrize("name", NAMES)
def test_every_level_has_the_index_that_was_trained(name: str) -> None:
    schedule = DiscreteSchedule.named(name)
    indices = torch.arange(1000, dtype=torch.float64)
    told = torch.tensor([schedule.time(float(sigma)) for sigma in schedule.sigmas], dtype=torch.float64)
    torch.testing.assert_close(told, indices, rtol=0, atol=1e-9)
    rows = schedule.times(schedule.sigmas, 1000, torch.device("cpu"))
    torch.testing.assert_close(rows, indices.float(), rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_between_two_levels_the_index_is_linear_in_their_logarithm(name: str) -> None:
    schedule = DiscreteSchedule.named(name)
    low, high = schedule.sigmas[:-1].log(), schedule.sigmas[1:].log()
    between = (0.7 * low + 0.3 * high).exp()
    expected = torch.arange(999, dtype=torch.float64) + 0.3
    told = torch.tensor([schedule.time(float(sigma)) for sigma in between], dtype=torch.float64)
    torch.testing.assert_close(told, expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(schedule.times(between, 999, torch.device("cpu")), expected.float(), rtol=0, atol=1e-4)


def test_beyond_its_ends_a_schedule_knows_its_ends() -> None:
    schedule = DiscreteSchedule.named("linear")
    assert [schedule.time(sigma) for sigma in (1e-5, 1e5)] == [0.0, 999.0]
    assert schedule.times(torch.tensor([1e-5, 1e5]), 2, torch.device("cpu")).tolist() == [0.0, 999.0]


def test_a_last_variance_of_1_is_left_out() -> None:
    betas = [0.1, 0.5, 1.0]
    assert DiscreteSchedule(betas).sigmas.tolist() == pytest.approx(DiscreteSchedule(betas[:2]).sigmas.tolist())


@pytest.mark.parametrize("name", NAMES)
def test_all_levels_are_the_whole_schedule_and_a_last_0(name: str) -> None:
    levels = VPLevels(1000, name)  # type: ignore[arg-type]
    assert list(levels) == [*reversed(DiscreteSchedule.named(name).sigmas.tolist()), 0.0]


@pytest.mark.parametrize(
    ("steps", "indices"),
    [
        # The indices that guided-diffusion's respacing gives.
        (5, [0, 250, 500, 749, 999]),
        ("ddim5", [0, 200, 400, 600, 800]),
        ("ddim250", list(range(0, 1000, 4))),
        (250, [round(999 / 249 * k) for k in range(250)]),
        # Half way, where 10 strides of 49.95 added up are less than 499.5.
        (21, [round(49.95 * k) if k != 10 else 499 for k in range(21)]),
    ],
)
def test_fewer_levels_are_chosen_as_guided_diffusion_does(steps: int | str, indices: list[int]) -> None:
    table = DiscreteSchedule.named("linear").sigmas
    assert list(VPLevels(steps)) == [*(float(table[index]) for index in reversed(indices)), 0.0]


@pytest.mark.parametrize(
    ("steps", "schedule", "said"),
    [
        (1, "linear", r"steps must be in 2 \.\. 1000"),
        (1001, "linear", r"steps must be in 2 \.\. 1000"),
        ("ddim7", "cosine", None),
        ("ddim300", "linear", "No whole stride takes 300"),
        ("dim30", "linear", r'such as "ddim50", but got \'dim30\''),
        (10, "quadratic", "schedule must be one of linear, scaled_linear, cosine, but got 'quadratic'"),
    ],
)
def test_what_no_schedule_gives_is_refused(steps: int | str, schedule: str, said: str | None) -> None:
    if said is None:  # 1000 levels by a stride of 143 are seven
        assert len(VPLevels(steps, schedule)) == 8  # type: ignore[arg-type]
        return
    with pytest.raises(ValueError, match=said):
        VPLevels(steps, schedule)  # type: ignore[arg-type]


@pytest.mark.parametrize("betas", [[0.1], [0.1, math.nan], [0.1, 1.2, 0.3], []])
def test_variances_out_of_range_are_refused(betas: list[float]) -> None:
    with pytest.raises(ValueError, match="two or more variances in"):
        DiscreteSchedule(betas)
