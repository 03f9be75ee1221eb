"""What a measurement looks like where its operator does not say."""

import pytest
import torch
from torch import Tensor

from dis_lightning.operators.base import GaussianOperator, Operator
from dis_lightning.operators.pictures import pictured, written
from dis_lightning.types import Measurement


class Plain(Operator):
    """An operator that says nothing of pictures."""

    def forward(self, x_0: Tensor) -> Tensor:
        return x_0

    def measure(self, x_0: Tensor, noise: object) -> Measurement:
        return x_0

    def distance(self, x_0: Tensor, y: Measurement) -> Tensor:
        raise NotImplementedError

    energy = distance


class Grey(GaussianOperator):
    """One that says as little, with Gaussian noise."""

    forward = Plain.forward


@pytest.mark.parametrize("operator", [Plain(), Grey()])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_in_range_stay_as_they_are(operator: Operator, channels: int) -> None:
    y = torch.rand(2, channels, 4, 6) * 2 - 1
    assert torch.equal(operator.picture(y), y)


def test_noise_beyond_the_range_is_clamped_by_a_gaussian_operator() -> None:
    y = torch.linspace(-2, 2, 8).reshape(1, 1, 2, 4)
    assert torch.equal(Grey().picture(y), y.clamp(-1, 1))


def test_numbers_beyond_the_range_are_scaled_image_by_image() -> None:
    y = torch.tensor([[[[0.0, 5.0], [10.0, 2.5]]], [[[0.0, 0.5], [1.0, -1.0]]], [[[7.0, 7.0], [7.0, 7.0]]]])
    scaled = torch.tensor([[[[-1.0, 0.0], [1.0, -0.5]]], [[[0.0, 0.5], [1.0, -1.0]]], [[[0.0, 0.0], [0.0, 0.0]]]])
    assert torch.allclose(pictured(y), scaled)


def test_other_channels_become_their_mean() -> None:
    y = torch.tensor([0.5, -0.5, 0.2, -0.2, 0.5]).reshape(1, 5, 1, 1).expand(2, 5, 3, 4)
    assert torch.allclose(Grey().picture(y), torch.full((2, 1, 3, 4), 0.1))
    assert torch.allclose(pictured(y.reshape(2, 5, 1, 3, 4)), torch.full((2, 1, 3, 4), 0.1))


def test_maps_without_an_axis_of_channels_are_grey() -> None:
    y = torch.rand(2, 3, 4)
    assert torch.equal(pictured(y), y.unsqueeze(1))


def test_vectors_are_wrapped_row_by_row_and_filled_up_with_black() -> None:
    y = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.5]])
    assert torch.allclose(Grey().picture(y), torch.tensor([[[[0.1, 0.2, 0.3], [0.4, 0.5, -1.0]]]]))
    assert pictured(torch.zeros(1, 16)).shape == (1, 1, 4, 4)
    assert pictured(torch.zeros(1, 17)).shape == (1, 1, 4, 5)
    assert torch.allclose(pictured(torch.tensor([0.5, -0.5])), torch.tensor([[[[0.5]]], [[[-0.5]]]]))


def test_numbers_of_every_kind_have_a_picture() -> None:
    assert torch.allclose(pictured(torch.tensor([[0.6 + 0.8j, 0j]])), torch.tensor([[[[1.0, 0.0]]]]))
    assert torch.equal(pictured(torch.tensor([[True, False]])), torch.tensor([[[[1.0, 0.0]]]]))
    assert torch.equal(pictured(torch.tensor([[0, 255, 51]], dtype=torch.uint8))[0, 0, 0], torch.tensor([-1.0, 1.0]))
    wrong = torch.tensor([[torch.nan, torch.inf, 4.0, 0.0]])
    assert torch.equal(pictured(wrong), torch.tensor([[[[-1.0, 1.0], [1.0, -1.0]]]]))


def test_words_are_written() -> None:
    assert torch.equal(Plain().picture(["a bed", "a lamp"]), written(["a bed", "a lamp"]))


def test_long_words_have_smaller_letters_and_are_whole() -> None:
    words = (
        "a bedroom at night with white walls, a white bed, a window and a picture on the back wall, a lamp and a rug"
    )
    pictures = written(["a bed", words, words + " of wool" * 40])
    lowest = [int((picture < 1).any(dim=(0)).any(dim=1).nonzero().max()) for picture in pictures]
    assert lowest[0] < 40 < 128 < lowest[1] < 256 - 12 < lowest[2]
