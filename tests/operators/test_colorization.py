"""Colourisation against its weights, its pseudo-inverse against the library's, and all of it against DeepInverse."""

import deepinv.physics
import pytest
import torch

from dis_lightning.operators.colorization import Colorization


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_each_colour_has_its_weight() -> None:
    colours = torch.eye(3).reshape(3, 3, 1, 1)
    torch.testing.assert_close(Colorization()(colours).flatten(), torch.tensor([0.2989, 0.5870, 0.1140]))


def test_a_grey_image_keeps_its_brightness(images: torch.Tensor) -> None:
    grey = images[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(Colorization()(grey), images[:, :1], rtol=2e-4, atol=0)


def test_pixels_are_measured_one_by_one(images: torch.Tensor) -> None:
    y = Colorization()(images)
    assert y.shape == (2, 1, 4, 5)
    torch.testing.assert_close(Colorization()(images[:, :, 1:2, 3:4]), y[:, :, 1:2, 3:4])


def test_the_adjoint_and_the_pseudo_inverse_are_those_of_the_matrix() -> None:
    operator = Colorization()
    matrix = operator.matrix((3, 2, 2))
    basis = torch.eye(4, dtype=torch.float64).reshape(4, 1, 2, 2)
    torch.testing.assert_close(operator.adjoint(basis).flatten(1), matrix)
    torch.testing.assert_close(operator.pseudo_inverse(basis).flatten(1).T, torch.linalg.pinv(matrix))


def test_it_is_the_grey_of_deepinverse_with_the_same_weights(images: torch.Tensor) -> None:
    twin = deepinv.physics.Decolorize(srf=(0.2989, 0.5870, 0.1140))
    operator, y = Colorization(), Colorization()(images)
    torch.testing.assert_close(y, twin.A(images))
    torch.testing.assert_close(operator.adjoint(y), twin.A_adjoint(y))
    torch.testing.assert_close(operator.pseudo_inverse(y), twin.A_dagger(y))
    # From 0: elsewhere their proximal step forgets what grey does not see of the image.
    torch.testing.assert_close(operator.proximal(0 * images, y, step=3.0), twin.prox_l2(0 * images, y, gamma=3.0))


def test_the_default_weights_of_deepinverse_are_those_of_bt_601_to_four_digits(images: torch.Tensor) -> None:
    torch.testing.assert_close(Colorization()(images), deepinv.physics.Decolorize().A(images), rtol=0, atol=2e-4)


def test_the_picture_is_grey(images: torch.Tensor) -> None:
    y = 3 * Colorization()(images)
    assert torch.equal(Colorization().picture(y), y.clamp(-1, 1).repeat(1, 3, 1, 1))


def test_an_image_that_has_not_three_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"3 channels .* but got 1"):
        Colorization()(torch.zeros(1, 1, 4, 4))


def test_noise_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="Colorization needs a finite noise_std >= 0"):
        Colorization(noise_std=-0.1)
