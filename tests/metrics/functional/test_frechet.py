"""The Fréchet distance against scipy's matrix square root, torch-fidelity and closed forms."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from dis_lightning.metrics.functional import fit_gaussian, frechet_distance, known_gaussian


def features(number: int, dimension: int, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dimension, dimension, generator=random, dtype=torch.float64)
    return torch.randn(number, dimension, generator=random, dtype=torch.float64) @ mixing + seed


def by_square_root(x: Tensor, y: Tensor) -> float:
    first, second = np.cov(x.numpy().T), np.cov(y.numpy().T)
    root = sqrtm(first @ second).real
    return float((x.mean(0) - y.mean(0)).square().sum() + np.trace(first + second - 2 * root))


@pytest.mark.parametrize(("n", "m"), [(50, 60), (50, 6), (7, 60)])
def test_it_agrees_with_the_matrix_square_root_and_with_torch_fidelity(n: int, m: int) -> None:
    x, y = features(n, 10, 0), features(m, 10, 1)
    found = frechet_distance(fit_gaussian(x), fit_gaussian(y))
    # Of a singular product, scipy's root is good to the root of the rounding.
    assert found == pytest.approx(by_square_root(x, y), rel=1e-9 if min(n, m) > 10 else 1e-5)
    statistics = [fid_features_to_statistics(z) for z in (x, y)]
    other = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert found == pytest.approx(other, rel=1e-9 if min(n, m) > 10 else 1e-5)


@pytest.mark.parametrize(("number", "dimension"), [(300, 40), (30, 200)])
def test_equal_sets_are_at_no_distance_also_where_the_covariance_is_singular(number: int, dimension: int) -> None:
    x = features(number, dimension, 3)
    shuffled = x[torch.randperm(number, generator=torch.Generator().manual_seed(0))]
    assert frechet_distance(fit_gaussian(x), fit_gaussian(shuffled)) < 1e-6 * float(x.var(dim=0).sum())


def test_a_shift_costs_its_square_and_a_scale_the_square_of_the_change_of_deviation() -> None:
    x = features(100, 5, 2)
    fitted = fit_gaussian(x)
    assert frechet_distance(fitted, fit_gaussian(x + 3)) == pytest.approx(5 * 9, rel=1e-9)
    centred = x - x.mean(dim=0)
    expected = 0.25 * float(x.var(dim=0).sum())
    assert frechet_distance(fit_gaussian(centred), fit_gaussian(1.5 * centred)) == pytest.approx(expected, rel=1e-9)


def test_statistics_stand_for_the_features_they_were_made_of() -> None:
    x, y = features(50, 10, 0), features(8, 10, 1)  # the second covariance is singular
    known = known_gaussian(y.mean(dim=0), torch.cov(y.T))
    fitted = fit_gaussian(x)
    assert frechet_distance(fitted, known) == pytest.approx(frechet_distance(fitted, fit_gaussian(y)), rel=1e-6)


def test_float32_features_lose_nothing_to_a_large_mean() -> None:
    x, y = features(200, 6, 0), features(200, 6, 1)
    moved = frechet_distance(fit_gaussian((x + 1000).float()), fit_gaussian((y + 1000).float()))
    assert moved == pytest.approx(frechet_distance(fit_gaussian(x), fit_gaussian(y)), rel=1e-4)


@pytest.mark.parametrize("rows", [torch.ones(1, 4), torch.tensor([[1.0, torch.nan], [1.0, 2.0]])])
def test_too_few_or_broken_features_are_refused(rows: Tensor) -> None:
    with pytest.raises(ValueError, match="two images or more"):
        fit_gaussian(rows)


def test_features_of_another_network_are_refused() -> None:
    with pytest.raises(ValueError, match="of 3 and of 4 numbers"):
        frechet_distance(fit_gaussian(torch.eye(3)), fit_gaussian(torch.eye(4)))
    with pytest.raises(ValueError, match=r"\(D, D\), but got \(3,\) and \(4, 4\)"):
        known_gaussian(torch.zeros(3), torch.eye(4))
    with pytest.raises(ValueError, match=r"a mean \(D,\) and a covariance \(D, D\), but got \(3, 1\)"):
        known_gaussian(torch.zeros(3, 1), torch.eye(3))
    with pytest.raises(ValueError, match="of which 1 numbers are not finite"):
        known_gaussian(torch.tensor([0.0, torch.nan]), torch.eye(2))
