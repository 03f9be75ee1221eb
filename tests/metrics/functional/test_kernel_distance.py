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


def by_double_loop(x: Tensor, y: Tensor, a: Tensor, b: Tensor, *, paired: bool = False) -> float:
    def mean(x: Tensor, y: Tensor, a: Tensor, b: Tensor, *, shared: bool) -> float:
        pairs = [(i, j) for i in range(len(x)) for j in range(len(y)) if not (shared and a[i] == b[j])]
        return fmean(float((x[i] @ y[j] / len(x[i]) + 1) ** 3) for i, j in pairs)

    own = mean(x, x, a, a, shared=True) + mean(y, y, b, b, shared=True)
    return own - 2 * mean(x, y, a, b, shared=paired)


def test_it_agrees_with_torchmetrics_and_with_a_double_loop() -> None:
    x, y = features(20, 7, 0), features(20, 7, 1, shift=0.3)
    assert of_images(x, y).value == pytest.approx(float(poly_mmd(x, y)), rel=1e-10)
    expected = by_double_loop(x, y[:9], torch.arange(20), torch.arange(9))
    assert of_images(x, y[:9]).value == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("paired", [True, False], ids=["own sources", "other images"])
def test_samples_of_one_image_that_resemble_each_other_and_its_source_do_not_bias_it(paired: bool) -> None:
    """Four samples of each of 30 images and one source, all as scattered; 0.1 and more if all pairs were counted."""
    values = []
    for seed in range(60):
        centres = features(30, 32, 3 * seed)
        others = centres if paired else features(30, 32, 3 * seed + 1)
        drawn, sources = features(150, 32, 3 * seed + 2).split([120, 30])
        x = 0.8 * centres.repeat_interleave(4, dim=0) + 0.6 * drawn
        groups = torch.arange(30)
        found = kernel_distance(x, 0.8 * others + 0.6 * sources, groups.repeat_interleave(4), groups, paired=paired)
        values.append(found.value)
    assert abs(fmean(values)) < 4 * stdev(values) / 60**0.5
    assert stdev(values) / 60**0.5 < 0.01


@pytest.mark.parametrize("paired", [True, False])
def test_the_error_is_the_jackknife_over_images(paired: bool) -> None:
    """Two features of each of 6 images against one of each of 6 others, or of the same."""
    x, y = features(12, 4, 0), features(6, 4, 1)
    a, b = torch.arange(12) // 2, torch.arange(6)

    def variance(values: list[float]) -> float:
        mean = fmean(values)
        return (len(values) - 1) / len(values) * sum((value - mean) ** 2 for value in values)

    def left_out(of_x: int, of_y: int) -> float:
        kept, others = a != of_x, b != of_y
        return by_double_loop(x[kept], y[others], a[kept], b[others], paired=paired)

    if paired:
        expected = variance([left_out(g, g) for g in range(6)])
    else:
        expected = variance([left_out(g, -1) for g in range(6)]) + variance([left_out(-1, g) for g in range(6)])
    found = kernel_distance(x, y, a, b, paired=paired)
    assert found.standard_error == pytest.approx(expected**0.5, rel=1e-9)
    assert found.value == pytest.approx(left_out(-1, -1), rel=1e-9)


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
    assert found.value == pytest.approx(by_double_loop(x, y, torch.arange(2), torch.arange(2)), rel=1e-9)
    assert not torch.tensor(found.standard_error).isfinite()
    with pytest.raises(ValueError, match="two images on both sides or more, got 1 and 2: raise num_images"):
        kernel_distance(x, y, torch.zeros(2, dtype=torch.long), torch.arange(2), paired=False)


@pytest.mark.parametrize("paired", [True, False])
def test_blocks_change_nothing_and_no_matrix_is_larger_than_a_block(
    paired: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y, a, b = features(26, 4, 0), features(17, 4, 1), torch.arange(26) // 2, torch.arange(17)
    expected = kernel_distance(x, y, a, b, paired=paired)
    sizes = []

    def spy(products: Tensor) -> Tensor:
        sizes.append(tuple(products.shape))
        return whole(products)

    whole = kernel._kernel
    monkeypatch.setattr(kernel, "BLOCK", 5)
    monkeypatch.setattr(kernel, "_kernel", spy)
    found = kernel_distance(x, y, a, b, paired=paired)
    assert found == pytest.approx(expected, rel=1e-9)
    assert max(max(size) for size in sizes) == 5
