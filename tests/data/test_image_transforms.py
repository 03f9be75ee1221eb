from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, Resize

from dis_lightning.data import (
    CenterCropLanczos,
    ExactResize,
    ImageTransform,
    ShorterSideBicubic,
    ShorterSideBilinear,
    ShorterSideBox,
)

# Wide, tall, square, already right, too small; odd and even margins.
SIZES = [(91, 64), (60, 99), (75, 75), (32, 32), (21, 17), (33, 32), (32, 35), (40, 31)]
# Pillow rounds to 8 bit after each of two passes; the second carries the first one's error times the sum of its weights
# without their signs, which is 1 for positive kernels and at most 1.4 for Lanczos.
ROUNDING = 1.2
TRANSFORMS = [CenterCropLanczos, ExactResize, ShorterSideBicubic, ShorterSideBilinear, ShorterSideBox]


def lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


def triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(1 - np.abs(x), 0.0)


def box(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where((x > -0.5) & (x <= 0.5), 1.0, 0.0)


def cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' kernel with a = -1/2."""
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def resample(pixels: NDArray[np.float64], axis: int, length: int, kernel: Callable[..., NDArray[np.float64]]):
    """Resample one axis: each new pixel is the mean of the old ones, weighted by the kernel around its centre."""
    step = pixels.shape[axis] / length
    centres = (np.arange(length) + 0.5) * step
    weights = kernel((np.arange(pixels.shape[axis]) + 0.5 - centres[:, None]) / max(step, 1.0))
    weights /= weights.sum(axis=1, keepdims=True)
    return np.moveaxis(np.tensordot(weights, pixels, (1, axis)), 0, axis)


def resize(pixels: NDArray[np.uint8], width: int, height: int, kernel: Callable[..., NDArray[np.float64]]):
    wide = np.clip(resample(pixels.astype(float), 1, width, kernel), 0, 255)
    return np.clip(resample(wide, 0, height, kernel), 0, 255)


def worst(transform: ImageTransform, pixels: NDArray[np.uint8], truth: NDArray[np.float64]) -> float:
    return float(np.abs(np.asarray(transform(Image.fromarray(pixels)), float) - truth).max())


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_center_crop_lanczos_is_a_lanczos_mean_of_the_middle_square(width, height, random_pixels):
    pixels, side = random_pixels(width, height), min(width, height)
    top, left = (height - side) // 2, (width - side) // 2
    truth = resize(pixels[top : top + side, left : left + side], 32, 32, lanczos)
    assert worst(CenterCropLanczos(32), pixels, truth) <= ROUNDING


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_shorter_side_bilinear_is_torchvision_resize_and_center_crop(width, height, random_pixels):
    image = Image.fromarray(random_pixels(width, height))
    reference = Compose([Resize(32), CenterCrop(32)])
    assert np.array_equal(ShorterSideBilinear(32)(image), reference(image))


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_exact_resize_is_torchvision_resize_and_a_triangle_mean(width, height, random_pixels):
    pixels = random_pixels(width, height)
    image = Image.fromarray(pixels)
    assert np.array_equal(ExactResize(32)(image), Resize((32, 32))(image))
    assert worst(ExactResize(32), pixels, resize(pixels, 32, 32, triangle)) <= ROUNDING


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_shorter_side_box_is_a_box_mean_cut_in_the_middle(width, height, random_pixels):
    pixels, scale = random_pixels(width, height), 32 / min(width, height)
    truth = resize(pixels, round(scale * width), round(scale * height), box)
    top, left = (truth.shape[0] - 32) // 2, (truth.shape[1] - 32) // 2
    assert worst(ShorterSideBox(32), pixels, truth[top : top + 32, left : left + 32]) <= ROUNDING


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_shorter_side_bicubic_is_a_cubic_mean_of_halves_cut_in_the_middle(width, height, random_pixels):
    found = pixels = random_pixels(width, height)
    while min(found.shape[:2]) >= 48:
        found = resize(found, found.shape[1] // 2, found.shape[0] // 2, box)
    scale = 24 / min(found.shape[:2])
    truth = resize(found, round(scale * found.shape[1]), round(scale * found.shape[0]), cubic)
    top, left = (truth.shape[0] - 24) // 2, (truth.shape[1] - 24) // 2
    # Halves are rounded to 8 bit too, and cubic weights without their signs sum to 1.25 at most on each axis.
    assert worst(ShorterSideBicubic(24), pixels, truth[top : top + 24, left : left + 24]) <= ROUNDING + 1.25**2


def test_shorter_side_box_by_a_whole_factor_is_the_mean_of_blocks(random_pixels):
    pixels = random_pixels(96, 64)
    blocks = pixels.reshape(16, 4, 24, 4, 3).mean(axis=(1, 3))
    assert worst(ShorterSideBox(16), pixels, blocks[:, 4:20]) <= ROUNDING


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_transform_gives_a_square_of_its_size(transform, width, height, random_pixels):
    assert transform(24)(Image.fromarray(random_pixels(width, height))).size == (24, 24)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_square_of_the_right_size_stays_as_it_is(transform, random_pixels):
    pixels = random_pixels(16, 16)
    assert np.array_equal(transform(16)(Image.fromarray(pixels)), pixels)


def test_sizes_default_to_those_of_the_papers():
    sizes = [transform().size for transform in (CenterCropLanczos, ShorterSideBilinear, ShorterSideBox, ExactResize)]
    assert sizes == [256, 256, 256, 64]


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_size_below_one_is_refused(transform):
    with pytest.raises(ValueError, match=rf"{transform.__name__} needs size >= 1, a whole number, but got size=0"):
        transform(0)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_size_of_two_numbers_is_height_and_width(width, height, random_pixels):
    pixels = random_pixels(width, height)
    image = Image.fromarray(pixels)
    assert np.array_equal(ExactResize((24, 40))(image), Resize((24, 40))(image))
    for transform in TRANSFORMS:
        assert transform((24, 40))(image).size == (40, 24)
        assert np.array_equal(transform((24, 24))(image), transform(24)(image))


def test_a_picture_of_the_shape_wanted_is_not_cut(random_pixels):
    pixels = random_pixels(120, 72)  # three times 40 x 24
    blocks = pixels.reshape(24, 3, 40, 3, 3).mean(axis=(1, 3))
    assert worst(ShorterSideBox((24, 40)), pixels, blocks) <= ROUNDING
    assert worst(CenterCropLanczos((24, 40)), pixels, resize(pixels, 40, 24, lanczos)) <= ROUNDING
    assert worst(ShorterSideBilinear((24, 40)), pixels, resize(pixels, 40, 24, triangle)) <= ROUNDING


def test_what_is_too_wide_or_too_high_is_cut_in_the_middle(random_pixels):
    pixels = random_pixels(100, 24)
    assert np.array_equal(CenterCropLanczos((24, 40))(Image.fromarray(pixels)), pixels[:, 30:70])
    pixels = random_pixels(40, 60)
    for transform in (CenterCropLanczos, ShorterSideBicubic, ShorterSideBilinear, ShorterSideBox):
        assert np.array_equal(transform((24, 40))(Image.fromarray(pixels)), pixels[18:42])


def test_the_middle_of_a_narrow_strip_is_a_pixel_high_at_least(random_pixels):
    pixels = random_pixels(64, 6)
    wide = resize(pixels[2:3], 200, 2, lanczos)
    assert worst(CenterCropLanczos((2, 200)), pixels, wide) <= ROUNDING


@pytest.mark.parametrize("size", [(24, 0), (24, 24, 3), "24", (24.0, 24)])
def test_a_size_that_is_no_pair_is_refused(size):
    with pytest.raises((TypeError, ValueError), match=r"ExactResize needs .*size.*but got"):
        ExactResize(size)
