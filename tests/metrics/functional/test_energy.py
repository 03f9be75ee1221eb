import math

import pytest
import torch
from scipy.stats import norm

from dis_lightning.metrics.functional import energy_score


def test_of_two_samples_it_is_what_the_definition_says() -> None:
    samples, truth = torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.zeros(2)
    assert float(energy_score(samples, truth)) == pytest.approx((5 + 1) / 2 - math.hypot(3, 3) / 2)


def test_of_many_normal_numbers_it_is_the_continuous_ranked_probability_score() -> None:
    # In one dimension the score is the CRPS, known for the normal law (Gneiting and Raftery 2007, equation 5).
    mean, std, truth = 0.3, 1.7, 1.1
    z = (truth - mean) / std
    expected = std * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / math.sqrt(math.pi))
    samples = mean + std * torch.randn(3000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert float(energy_score(samples, torch.tensor([truth]))) == pytest.approx(expected, abs=4 * std / 3000**0.5)


def test_the_posterior_scores_better_than_what_is_too_narrow_too_wide_or_elsewhere() -> None:
    generator = torch.Generator().manual_seed(1)

    def mean_score(width: float, shift: float) -> float:
        truths = torch.randn(400, 6, generator=generator)
        scores = [energy_score(shift + width * torch.randn(8, 6, generator=generator), truth) for truth in truths]
        return float(torch.stack(scores).mean())

    exact = mean_score(1.0, 0.0)
    assert all(exact < mean_score(width, shift) for width, shift in [(0.3, 0.0), (2.0, 0.0), (1.0, 0.7)])


def test_more_samples_change_its_precision_alone() -> None:
    generator = torch.Generator().manual_seed(2)
    truth = torch.zeros(5)

    def scores(number: int, sets: int) -> torch.Tensor:
        return torch.stack([energy_score(torch.randn(number, 5, generator=generator), truth) for _ in range(sets)])

    few, many = scores(2, 4000), scores(40, 200)
    error = math.hypot(float(few.std()) / 4000**0.5, float(many.std()) / 200**0.5)
    assert abs(float(few.mean() - many.mean())) < 4 * error
