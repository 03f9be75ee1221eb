"""Random-pixel inpainting: an exact share of pixels, the same everywhere, chosen by the seed."""

import math

import pytest
import torch

from dis_lightning.noise import NoiseSource
from dis_lightning.operators import RandomInpainting


def images(count: int = 2, height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0)) + 1


@pytest.mark.parametrize(("visible", "count"), [(0.1, 102), (0.2, 205), (0.5, 512), (1.0, 1024)])
def test_exactly_the_visible_share_of_the_pixels_is_seen(visible: float, count: int) -> None:
    mask = RandomInpainting(visible).mask(images())
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert mask.sum() == count


def test_the_same_pixels_are_seen_in_all_images_and_channels() -> None:
    seen = RandomInpainting(0.3)(images()) != 0
    assert torch.equal(seen, seen[:1, :1].expand_as(seen))
    assert torch.equal(seen[0, 0], RandomInpainting(0.3)(images(7))[6, 2] != 0)


def test_seen_pixels_keep_their_value_and_the_others_are_zero() -> None:
    x, measured = images(), RandomInpainting(0.3)(images())
    seen = measured != 0
    assert torch.equal(measured[seen], x[seen])
    assert 0 < seen.float().mean() < 1


def test_the_mask_follows_from_seed_and_size_alone() -> None:
    mask = RandomInpainting(0.5, seed=3).mask(images())
    used = RandomInpainting(0.5, noise_std=1.0, seed=3)
    used.measure(images(1, 8, 8), NoiseSource(9, [4]))
    assert torch.equal(used.mask(images(5).double()), mask.double())


def test_masks_of_other_seeds_agree_by_chance_alone() -> None:
    count, seen = 1024, 512
    masks = torch.stack([RandomInpainting(0.5, seed=seed).mask(images()) for seed in range(6)]).flatten(1)
    # Pixels seen by two independent masks: hypergeometric, variance n^2/4 (1/4) / (n - 1) for halves of n pixels.
    overlap = masks @ masks.T - count / 4
    spread = math.sqrt(seen**2 / 4 / (count - 1))
    assert overlap.fill_diagonal_(0).abs().max() < 5 * spread


def test_pixels_are_chosen_evenly_over_the_image() -> None:
    shares = torch.stack([RandomInpainting(0.25, seed=seed).mask(images(1, 8, 8)) for seed in range(400)]).mean(0)
    assert (shares - 0.25).abs().max() < 5 * math.sqrt(0.25 * 0.75 / 400)


def test_hidden_pixels_of_a_measurement_hold_noise_and_its_picture_shows_them_grey() -> None:
    operator = RandomInpainting(0.2, noise_std=0.1)
    y = operator.measure(images(), NoiseSource(0, [0, 1]))
    hidden = (operator.mask(y) == 0).expand_as(y)
    count = int(hidden.sum())
    assert abs(y[hidden].std() / 0.1 - 1) < 5 / math.sqrt(2 * count)
    assert (operator.picture(y)[hidden] == 0).all()


@pytest.mark.parametrize("visible", [0.0, -0.1, 1.1, float("nan")])
def test_a_share_out_of_range_is_refused(visible: float) -> None:
    with pytest.raises(ValueError, match=r"visible share in \(0, 1\]"):
        RandomInpainting(visible)


def test_a_share_of_no_pixel_is_refused() -> None:
    with pytest.raises(ValueError, match=r"visible=0\.001 of 8 x 8 pixels is none; use a larger share"):
        RandomInpainting(0.001)(images(1, 8, 8))


def test_the_mask_tells_nothing_of_the_measurement_noise() -> None:
    # Seed 0 chooses the mask, and seed 0 and image 0 the noise: streams that must not be the same.
    operator = RandomInpainting(visible=0.2, noise_std=1.0, seed=0)
    x_0 = torch.zeros(1, 3, 64, 64)
    y = operator.measure(x_0, NoiseSource(0, [0]))
    seen = operator.mask(x_0).bool()
    count = int(seen.sum())
    assert (y[0][:, seen].mean(dim=1).abs() < 5 / count**0.5).all()
