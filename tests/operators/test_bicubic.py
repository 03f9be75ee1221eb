"""Bicubic down-sampling: the published taps, Keys' kernel, and MATLAB's filter as DeepInverse has it."""

import deepinv.physics
import pytest
import torch

from dis_lightning.operators import BicubicDownsample


def images(height: int, width: int) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1


def test_the_taps_of_factor_four_are_the_published_ones() -> None:
    half = [-0.001709, -0.010986, -0.018311, -0.011963, 0.022705, 0.097412, 0.181885, 0.240967]
    row = BicubicDownsample(4).axis(64)[7]
    expected = torch.tensor(half + half[::-1], dtype=torch.float64)
    torch.testing.assert_close(row[7 * 4 - 6 : 7 * 4 + 10], expected, rtol=0, atol=5e-7)
    assert row.count_nonzero() == 16


@pytest.mark.parametrize(("height", "width"), [(64, 40), (16, 8)])
def test_it_is_a_strided_correlation_of_the_image_with_doubled_mirror_borders(height: int, width: int) -> None:
    x = images(height, width)
    mirrored = torch.cat([x[..., :6].flip(-1), x, x[..., -6:].flip(-1)], dim=-1)
    mirrored = torch.cat([mirrored[..., :6, :].flip(-2), mirrored, mirrored[..., -6:, :].flip(-2)], dim=-2)
    taps = BicubicDownsample(4).axis(64)[7, 22:38]
    kernel = torch.outer(taps, taps).expand(3, 1, 16, 16)
    expected = torch.nn.functional.conv2d(mirrored, kernel, stride=4, groups=3)
    torch.testing.assert_close(BicubicDownsample(4)(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_it_is_the_filter_of_matlab_as_deepinverse_has_it(factor: int) -> None:
    x = images(24, 48)
    twin = deepinv.physics.DownsamplingMatlab(factor=factor)
    torch.testing.assert_close(BicubicDownsample(factor)(x), twin.A(x), rtol=0, atol=1e-6)


def test_it_interpolates_straight_lines_exactly() -> None:
    """Inside, where no border is near: the mean position of the taps is the middle of the block."""
    line = torch.linspace(-1, 1, 64, dtype=torch.float64).expand(1, 1, 64, 64)
    blocks = line.reshape(1, 1, 64, 16, 4).mean(-1)[..., ::4, 2:-2]
    torch.testing.assert_close(BicubicDownsample(4)(line)[..., 2:-2], blocks, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [4, 8, 64])
def test_a_flat_image_stays_flat_however_often_its_mirror_images_repeat(size: int) -> None:
    flat = torch.full((1, 3, size, size), 0.7, dtype=torch.float64)
    torch.testing.assert_close(BicubicDownsample(4)(flat), flat[..., ::4, ::4], rtol=0, atol=1e-14)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_the_pseudo_inverse_is_a_right_inverse(factor: int) -> None:
    y = images(8, 12)
    operator = BicubicDownsample(factor)
    torch.testing.assert_close(operator(operator.pseudo_inverse(y)), y, rtol=0, atol=1e-12)


def test_a_factor_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"BicubicDownsample needs factor >= 1, .* but got factor=0"):
        BicubicDownsample(0)


def test_an_image_that_the_factor_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match=r"BicubicDownsample\(factor=4\) cannot divide a side of 10 pixels"):
        BicubicDownsample(4)(images(8, 10))
