"""What published networks are given: the size, the filter and the colours that they were trained with."""

from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image

from dis_lightning.levels import KarrasLevels
from dis_lightning.operators import NonlinearBlur, Operator, RoomLayout
from dis_lightning.operators.published_input import IMAGENET_MEAN, IMAGENET_STD, prepared
from dis_lightning.priors import FiniteAtomPrior
from dis_lightning.solvers import DPS

PLAIN = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def images(height: int = 20, width: int = 24) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)) * 1.4 - 0.7


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(7, 9), (20, 13), (33, 50)])
def test_it_resizes_as_pil_does_up_and_down(
    size: tuple[int, int], interpolation: Literal["bicubic", "bilinear"]
) -> None:
    x = images()
    channels = [Image.fromarray(channel.numpy()) for channel in (x[0] + 1) / 2]  # PIL resizes floats unrounded
    truth = np.stack([channel.resize(size[::-1], Image.Resampling[interpolation.upper()]) for channel in channels])
    np.testing.assert_allclose(prepared(x, size, *PLAIN, interpolation=interpolation)[0], truth, atol=2e-6)


def test_without_antialiasing_the_filter_is_that_of_keys_with_minus_three_quarters() -> None:
    def keys(t: float, a: float = -0.75) -> float:
        t = abs(t)
        if t <= 1:
            return (a + 2) * t**3 - (a + 3) * t**2 + 1
        return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0

    x = -torch.ones(1, 3, 9, 9)
    x[..., 4, 4] = 1.0
    row = torch.tensor([keys((j + 0.5) / 2 - 0.5 - 4) for j in range(18)])
    resized = prepared(x, (18, 18), *PLAIN, antialias=False)
    torch.testing.assert_close(resized[0, 0], torch.outer(row, row), atol=1e-6, rtol=0)


def test_channels_are_normalised_each_by_its_own() -> None:
    x = torch.tensor([-1.0, 0.0, 1.0]).reshape(1, 3, 1, 1).expand(1, 3, 4, 4)
    u = torch.tensor([0.0, 0.5, 1.0])
    truth = (u - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    torch.testing.assert_close(prepared(x, (6, 6), IMAGENET_MEAN, IMAGENET_STD)[0, :, 2, 3], truth)


def test_an_image_of_the_right_size_is_left_as_it_is_and_the_type_is_chosen() -> None:
    x = images()
    assert torch.equal(prepared(x, (20, 24), *PLAIN), (x + 1) / 2)
    assert prepared(x, (20, 24), *PLAIN, dtype=torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize(("operator", "multiple"), [(NonlinearBlur(), 128), (RoomLayout(), 64)])
def test_a_size_that_a_network_cannot_take_is_refused_before_its_file_is_looked_for(
    operator: Operator, multiple: int
) -> None:
    prior = FiniteAtomPrior(torch.zeros(1, 3, 96, 96))
    with pytest.raises(ValueError, match=rf"multiples of {multiple}, but got 96 x 96"):
        DPS(operator, prior, KarrasLevels(2), scale=1.0)
