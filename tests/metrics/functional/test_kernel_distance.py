"""The kernel distance against torchmetrics and a plain double loop; its standard error against the truth."""

from statistics import fmean, stdev

import pytest
import torch
from torch import Tensor
from torchmetrics.image.kid import poly_mmd

from dis_lightning.metrics.functional import KernelDistance, kernel, kernel_distance


def features(number: int, dimension: int, seed: int, shift: float = 0.0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(number, dimension, generator=random, dtype=torch.float64) + shift


def of_images(x: Tensor, y: Tensor, *, paired: bool = False) -> KernelDistance:
    return kernel_distance(x, y, torch.arange(len(x)), torch.arange(len(y)), paired=paired)


def by_double_loop(x: Tensor, y: Tensor) -> float:
    def mean(a: Tensor, b: Tensor, *, same: bool) -> float:
        pairs = [(i, j) for i in range(len(a)) for j in range(len(b)) if not (same and i == j)]
        return fmean(float((a[i] @ b[j] / len(a[i]) + 1) ** 3) for i, j in pairs)

    return mean(x, x, same=True) + mean(y, y, same=True) - 2 * mean(x, y, same=False)


def test_it_agrees_with_torchmetrics_and_with_a_double_loop() -> None:
    x, y = features(20, 7, 0), features(20, 7, 1, shift=0.3)
    assert of_images(x, y).value == pytest.approx(float(poly_mmd(x, y)), rel=1e-10)
    assert of_images(x, y[:9]).value == pytest.approx(by_double_loop(x, y[:9]), rel=1e-10)


@pytest.mark.parametrize("paired", [True, False])
def test_the_error_is_the_jackknife_over_images(paired: bool) -> None:
    """Two features of each of 6 images against one of each of 6 others, or of the same."""
    x, y = features(12, 4, 0), features(6, 4, 1)
    a, b = torch.arange(12) // 2, torch.arange(6)

    def variance(left_out: list[float]) -> float:
        mean = fmean(left_out)
        return (len(left_out) - 1) / len(left_out) * sum((value - mean) ** 2 for value in left_out)

    if paired:
        expected = variance([by_double_loop(x[a != g], y[b != g]) for g in range(6)])
    else:
        expected = variance([by_double_loop(x[a != g], y) for g in range(6)])
        expected += variance([by_double_loop(x, y[b != g]) for g in range(6)])
    found = kernel_distance(x, y, a, b, paired=paired)
    assert found.standard_error == pytest.approx(expected**0.5, rel=1e-9)
    assert found.value == pytest.approx(by_double_loop(x, y), rel=1e-9)


def test_the_error_is_how_much_the_distance_scatters() -> None:
    found = [of_images(features(40, 5, 2 * s), features(40, 5, 2 * s + 1, shift=0.5)) for s in range(200)]
    scatter = stdev(distance.value for distance in found)
    # The scatter of 200 runs is known to 5 percent; the jackknife is a little large.
    assert fmean(distance.standard_error for distance in found) == pytest.approx(scatter, rel=0.2)


def test_equal_distributions_have_no_distance_on_average() -> None:
    values = [of_images(features(20, 5, 2 * s), features(30, 5, 2 * s + 1)).value for s in range(200)]
    assert abs(fmean(values)) < 4 * stdev(values) / 200**0.5


def test_what_is_too_little_for_an_error_still_has_a_distance() -> None:
    x, y = features(2, 3, 0), features(2, 3, 1)
    found = of_images(x, y)
    assert found.value == pytest.approx(by_double_loop(x, y), rel=1e-9)
    assert not torch.tensor(found.standard_error).isfinite()
    with pytest.raises(ValueError, match="raise num_images"):
        of_images(x[:1], y)


@pytest.mark.parametrize("paired", [True, False])
def test_blocks_change_nothing_and_no_matrix_is_larger_than_a_block(
    paired: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y, a, b = features(26, 4, 0), features(17, 4, 1), torch.arange(26) // 2, torch.arange(17)
    expected = kernel_distance(x, y, a, b, paired=paired)
    sizes = []

    def spy(products: Tensor, dimension: int) -> Tensor:
        sizes.append(tuple(products.shape))
        return whole(products, dimension)

    whole = kernel._kernel
    monkeypatch.setattr(kernel, "BLOCK", 5)
    monkeypatch.setattr(kernel, "_kernel", spy)
    found = kernel_distance(x, y, a, b, paired=paired)
    assert found == pytest.approx(expected, rel=1e-9)
    assert max(max(size) for size in sizes if len(size) == 2) == 5
