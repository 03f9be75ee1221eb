from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from dis_lightning.data.decoding import decode, to_tensor


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> BytesIO:
    stream = BytesIO()
    image.save(stream, format=form, **options)
    stream.seek(0)
    return stream


def decoded(image: Image.Image, form: str = "PNG", **options: object) -> np.ndarray:
    result = decode(encoded(image, form, **options))
    assert result.mode == "RGB"
    return np.array(result)


def test_all_256_values_map_to_the_range_from_minus_one_to_one():
    tensor = to_tensor(np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2))
    truth = torch.tensor([value / 127.5 - 1 for value in range(256)], dtype=torch.float32).reshape(16, 16)
    assert tensor.dtype == torch.float32
    assert tensor.shape == (3, 16, 16)
    assert tensor.is_contiguous()
    assert tensor.min() == -1
    assert tensor.max() == 1
    # Half a unit in the last place of the quotient, which is below 2.
    torch.testing.assert_close(tensor, truth.expand(3, -1, -1), rtol=0, atol=2**-23)


def test_channels_rows_and_columns_keep_their_places():
    pixels = np.zeros((2, 3, 3), dtype=np.uint8)
    pixels[1, 2] = 255, 51, 0
    tensor = to_tensor(np.array(decode(encoded(Image.fromarray(pixels)))))
    assert tensor[:, 1, 2].tolist() == pytest.approx([1.0, -0.6, -1.0], abs=1e-7)
    assert (tensor == -1).sum() == 16


@pytest.mark.parametrize(("form", "options"), [("JPEG", {"quality": 75}), ("WEBP", {"quality": 80})])
def test_lossy_formats_decode_as_pillow_decodes_them(form, options, random_pixels):
    image = Image.fromarray(random_pixels(40, 24))
    truth = np.array(Image.open(encoded(image, form, **options)).convert("RGB"))
    assert np.array_equal(decoded(image, form, **options), truth)
    assert not np.array_equal(truth, np.array(image))


def test_greyscale_becomes_three_equal_channels():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    assert np.array_equal(decoded(Image.fromarray(grey)), np.stack([grey] * 3, axis=2))


def test_one_bit_images_become_black_and_white():
    bits = np.array([[True, False], [False, True]])
    assert np.array_equal(decoded(Image.fromarray(bits))[..., 0], bits * 255)


def test_sixteen_bit_greyscale_is_divided_by_257_and_rounded():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    truth = np.rint(values / 257)
    assert np.array_equal(decoded(Image.fromarray(values)), np.stack([truth] * 3, axis=2))


@pytest.mark.parametrize("values", [[[0.0, 0.5]], [[0, 70000]], [[-1, 5]]])
def test_values_of_an_unknown_range_are_refused(values):
    dtype = np.float32 if isinstance(values[0][1], float) else np.int32
    with pytest.raises(ValueError, match="not 8 or 16 bit"):
        decode(encoded(Image.fromarray(np.array(values, dtype=dtype)), "TIFF"))


def palette_image() -> Image.Image:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    return image


@pytest.mark.parametrize("options", [{}, {"transparency": 1}, {"transparency": b"\x00\x80"}])
def test_a_palette_gives_its_colours_with_and_without_transparency(options):
    assert decoded(palette_image(), **options).tolist() == [[[10, 20, 30], [200, 100, 50]]]


def test_transparency_is_dropped_and_the_colours_beneath_stay(random_pixels):
    pixels = random_pixels()
    alpha = np.arange(24, dtype=np.uint8).reshape(4, 6, 1) * 10
    assert np.array_equal(decoded(Image.fromarray(np.concatenate([pixels, alpha], axis=2))), pixels)
    grey = np.concatenate([pixels[..., :1], alpha], axis=2)
    assert np.array_equal(decoded(Image.fromarray(grey)), pixels[..., :1].repeat(3, axis=2))


def test_cmyk_is_converted_as_pillow_does():
    image = Image.new("CMYK", (8, 8), (200, 30, 90, 10))
    truth = np.array(Image.open(encoded(image, "JPEG")).convert("RGB"))
    assert np.array_equal(decoded(image, "JPEG"), truth)


def test_images_that_the_camera_turned_are_turned_upright(random_pixels):
    pixels = random_pixels(6, 4)
    exif = Image.Exif()
    exif[0x0112] = 6  # The first row is the right side of the scene.
    assert np.array_equal(decoded(Image.fromarray(pixels), exif=exif), np.rot90(pixels, -1))


def test_the_first_of_several_frames_counts(random_pixels):
    first, second = (Image.fromarray(random_pixels()) for _ in range(2))
    assert np.array_equal(decoded(first, "TIFF", save_all=True, append_images=[second]), np.array(first))
