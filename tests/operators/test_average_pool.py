"""Average pooling against block means by NumPy."""

import numpy as np
import pytest
import torch

from dis_lightning.operators import AveragePool


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_each_value_is_the_mean_of_its_block(images: torch.Tensor, factor: int) -> None:
    blocks = images.numpy().reshape(2, 3, 8 // factor, factor, 12 // factor, factor)
    np.testing.assert_allclose(AveragePool(factor)(images), blocks.mean(axis=(3, 5)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_the_pseudo_inverse_repeats_each_value_over_its_block(images: torch.Tensor, factor: int) -> None:
    repeated = images.numpy().repeat(factor, axis=2).repeat(factor, axis=3)
    np.testing.assert_array_equal(AveragePool(factor).pseudo_inverse(images), repeated)


def test_pooling_after_the_adjoint_divides_by_the_size_of_a_block(images: torch.Tensor) -> None:
    operator = AveragePool(4)
    torch.testing.assert_close(operator(operator.adjoint(images)), images / 16)


def test_a_flat_image_stays_flat() -> None:
    assert torch.equal(AveragePool(8)(torch.full((1, 3, 16, 16), 0.5)), torch.full((1, 3, 2, 2), 0.5))


def test_a_factor_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"factor >= 1, .* but got factor=0"):
        AveragePool(0)


@pytest.mark.parametrize("size", [(8, 10), (10, 8)])
def test_an_image_that_the_factor_does_not_divide_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=rf"factor=4\) cannot divide an image of {size[0]} x {size[1]} pixels"):
        AveragePool(4)(torch.zeros(1, 3, *size))


@pytest.mark.parametrize("noise_std", [-0.1, float("inf"), float("nan")])
def test_noise_out_of_range_is_refused(noise_std: float) -> None:
    with pytest.raises(ValueError, match="AveragePool needs a finite noise_std >= 0"):
        AveragePool(4, noise_std=noise_std)
