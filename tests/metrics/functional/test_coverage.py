"""Coverage by pixel-wise intervals: by hand, and exact where the truth is one more sample."""

import pytest
import torch

from dis_lightning.metrics.functional import coverage, coverage_levels


def test_a_truth_between_the_samples_is_in_the_intervals_around_it() -> None:
    samples = torch.tensor([1, 3, 5, 7, 9], dtype=torch.uint8)[:, None, None]
    assert coverage_levels(5).tolist() == pytest.approx([4 / 6, 2 / 6])
    for truth, expected in {0: [0, 0], 2: [1, 0], 4: [1, 1], 6: [1, 1], 8: [1, 0], 10: [0, 0]}.items():
        assert coverage(samples, torch.full((1, 1), truth, dtype=torch.uint8)).tolist() == expected


def test_ties_count_by_the_share_of_their_places_that_is_inside() -> None:
    samples = torch.tensor([1, 4, 4, 7])[:, None]
    # Places 1, 2 and 3 of 0 .. 4, each a third; the intervals hold the places 1 .. 3, and 2.
    assert coverage(samples, torch.tensor([4])).tolist() == pytest.approx([1, 1 / 3])
    assert coverage(samples, torch.tensor([1])).tolist() == pytest.approx([1 / 2, 0])


@pytest.mark.parametrize("samples", [2, 3, 10])
@pytest.mark.parametrize("values", [2, 6, 256])
def test_one_more_sample_is_covered_as_often_as_it_should_be(samples: int, values: int) -> None:
    pixels = 40_000
    random = torch.Generator().manual_seed(samples * values)
    draws = torch.randint(values, (samples + 1, pixels), generator=random)
    levels = coverage_levels(samples)
    found = coverage(draws[:-1], draws[-1])
    error = (levels * (1 - levels) / pixels).sqrt()
    assert ((found - levels).abs() < 4.5 * error).all()


def test_samples_that_are_too_sure_of_themselves_cover_too_little() -> None:
    random = torch.Generator().manual_seed(0)
    narrow = 0.5 * torch.randn(10, 10_000, generator=random)
    found = coverage(narrow, torch.randn(10_000, generator=random))
    assert (found < 0.7 * coverage_levels(10)).all()
