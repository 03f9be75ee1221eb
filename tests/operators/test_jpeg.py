"""JPEG against the codec of Pillow, and the slope in place of rounding."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from dis_lightning.images import dequantise
from dis_lightning.operators import JPEG
from dis_lightning.operators.jpeg import _round
from dis_lightning.rooms import render_room


def room(height: int, width: int) -> Image.Image:
    return Image.fromarray(render_room("test", 0).image).resize((width, height), Image.Resampling.BICUBIC)


def pixels(picture: Image.Image) -> torch.Tensor:
    return dequantise(torch.from_numpy(np.array(picture))).permute(2, 0, 1)[None]


def decoded(picture: Image.Image, quality: int) -> torch.Tensor:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return pixels(Image.open(file).convert("RGB"))


@pytest.mark.parametrize("quality", [5, 10, 30, 50, 75, 90, 100])
@pytest.mark.parametrize(("height", "width"), [(64, 80), (50, 37)])
def test_it_is_the_codec_of_pillow_within_its_rounding(quality: int, height: int, width: int) -> None:
    """Pillow rounds colours, transform and pixels to integers: about one grey level, where 2 to 12 levels are lost."""
    picture = room(height, width)
    expected, found = decoded(picture, quality), JPEG(quality)(pixels(picture))
    levels = (found - expected).abs() * 127.5
    assert levels.mean() < 1.6
    if quality < 90:
        lost = (pixels(picture) - expected).abs() * 127.5
        assert levels.mean() < 0.5 * lost.mean()


@pytest.mark.parametrize(("height", "width"), [(24, 32), (40, 40), (8, 16), (10, 16)])
def test_the_lower_border_is_filled_as_the_codec_fills_it(height: int, width: int) -> None:
    """Noise of few colours tells whose rows are repeated: more levels are off where it is those of the image."""
    noise = torch.rand(4, height, width, 3, generator=torch.Generator().manual_seed(0)) * 255
    pictures = [Image.fromarray(image.round().byte().numpy()) for image in noise]
    off = [(JPEG(10)(pixels(each)) - decoded(each, 10)).abs().mean() * 127.5 for each in pictures]
    assert sum(off) / len(off) < 2


def test_a_single_sharp_colour_spreads_over_the_four_pixels_that_share_it() -> None:
    """The colour differences have half the resolution; brightness has all of it."""
    x = torch.zeros(1, 3, 32, 32, dtype=torch.float64)
    x[0, :, 14, 14] = torch.tensor([1.0, -0.2, -0.6])
    y = JPEG(100)(x)
    brightness = (torch.tensor([0.299, 0.587, 0.114]).reshape(3, 1, 1) * y).sum(dim=1)
    assert brightness[0, 14, 14] == pytest.approx(0.299 - 0.587 * 0.2 - 0.114 * 0.6, abs=0.01)
    assert brightness[0, 15, 15].abs() < 0.01
    assert (y[0, 0] - brightness[0])[15, 15] > 0.05


def test_the_best_quality_loses_only_the_rounding_of_the_coefficients() -> None:
    smooth = torch.nn.functional.interpolate(
        torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
        (64, 64),
        mode="bicubic",
    )
    # Steps of 1 round by 1 / sqrt(12) of a level in brightness; colours add theirs, and lose some of their resolution.
    assert (JPEG(100)(smooth) - smooth).square().mean().sqrt() * 127.5 < 1


def test_compressing_twice_is_compressing_once() -> None:
    once = JPEG(50)(0.5 * torch.ones(1, 3, 16, 16, dtype=torch.float64))
    torch.testing.assert_close(JPEG(50)(once), once, rtol=0, atol=1e-12)


@pytest.mark.parametrize("quality", [1, 10, 25, 49, 50, 51, 75, 95, 100])
def test_the_steps_are_those_of_pillow(quality: int) -> None:
    file = io.BytesIO()
    room(16, 16).save(file, "JPEG", quality=quality)
    tables = Image.open(file).quantization
    assert JPEG(quality).steps.flatten(1).tolist() == [tables[0], tables[1]]


def test_rounding_keeps_its_value_and_has_the_slope_of_the_cubic() -> None:
    values = torch.tensor([-1.3, -0.5, 0.0, 0.2, 0.49, 2.9], dtype=torch.float64)
    assert torch.equal(_round(values), values.round())
    slope = torch.func.grad(lambda values: _round(values).sum())(values)
    torch.testing.assert_close(slope, 3 * (values - values.round()) ** 2)


def test_guidance_finds_its_way_through_the_compression() -> None:
    """Descent on the distance, from a blurred picture, brings its compressed form towards that of the clean one."""
    operator, clean = JPEG(30), pixels(room(32, 32))
    y = operator(clean)
    x = torch.nn.functional.avg_pool2d(clean, 5, stride=1, padding=2, count_include_pad=False)
    before = operator.distance(x, y)
    for step in range(100):
        slope = torch.func.grad(lambda x: operator.distance(x, y).sum())(x)
        x = x - 0.2 / (1 + step / 10) * before * slope / slope.norm()
    assert operator.distance(x, y) < 0.6 * before


@pytest.mark.parametrize("quality", [0, 101, -5])
def test_a_quality_out_of_range_is_refused(quality: int) -> None:
    with pytest.raises(ValueError, match=rf"JPEG needs .*quality.* but got .*{quality}"):
        JPEG(quality)


def test_an_image_that_has_not_three_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"JPEG needs images with 3 channels .* but got 1"):
        JPEG(50)(torch.zeros(1, 1, 16, 16))
