"""Diversity score and mean cosine on constructed samples."""

import math

import pytest
import torch
from torch import Tensor

from dis_lightning.metrics.functional import diversity_score, mean_cosine


def clusters(radius: float, distance: float) -> Tensor:
    """Six clusters of four points at `radius` around centres on axes of their own, `distance` from each other."""
    centres = distance / math.sqrt(2) * torch.eye(8, dtype=torch.float64)[:6]
    offsets = torch.zeros(4, 8, dtype=torch.float64)
    offsets[:, 6:] = radius * torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], dtype=torch.float64)
    return (centres[:, None] + offsets).reshape(24, 8)


@pytest.mark.parametrize(("radius", "distance"), [(1.0, 10.0), (1e-3, 1e-2), (1.0, 30.0)])
def test_the_score_of_six_clusters_is_their_distance_by_their_radius(radius: float, distance: float) -> None:
    found = diversity_score(clusters(radius, distance))
    assert found == pytest.approx(distance / radius, rel=1e-9)


def test_the_score_knows_no_scale_and_no_order() -> None:
    samples = torch.randn(25, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    value = diversity_score(samples)
    assert diversity_score(1e-3 * samples) == pytest.approx(value, rel=1e-6)
    assert diversity_score(samples) == value


def test_a_random_walk_scores_higher_than_independent_samples() -> None:
    steps = torch.randn(25, 2048, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert diversity_score(steps) == pytest.approx(1.25, abs=0.1)
    assert diversity_score(steps.cumsum(dim=0)) > 2.5


@pytest.mark.parametrize("different", [1, 6])
def test_too_few_different_samples_have_no_score(different: int) -> None:
    samples = torch.randn(different, 5, generator=torch.Generator().manual_seed(0))
    assert math.isnan(diversity_score(samples.repeat(4, 1)))


def test_the_mean_cosine_is_that_of_all_pairs() -> None:
    right, up = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 5.0])
    assert mean_cosine(torch.stack([right, right, up])) == pytest.approx(1 / 3)
    assert mean_cosine(torch.stack([right, -right])) == pytest.approx(-1)
    assert math.isnan(mean_cosine(right[None]))
    assert math.isnan(mean_cosine(torch.stack([right, 0 * right])))
