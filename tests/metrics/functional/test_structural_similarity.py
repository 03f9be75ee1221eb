"""Structural similarity against torchmetrics, which applies the window as a whole, and known answers."""

import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from dis_lightning.metrics.functional import structural_similarity


def pictures(*shape: int) -> torch.Tensor:
    return torch.rand(2, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(2, 3, 17, 12), (1, 1, 11, 11), (3, 3, 32, 32)])
def test_it_is_that_of_torchmetrics_where_the_window_fits(shape: tuple[int, ...]) -> None:
    x, y = pictures(*shape)
    whole = structural_similarity_index_measure(x, y, data_range=1.0, reduction="none", return_full_image=True)
    assert isinstance(whole, tuple)
    torch.testing.assert_close(
        structural_similarity(x, y), whole[1][..., 5:-5, 5:-5].mean(dim=(1, 2, 3)), rtol=0, atol=1e-12
    )


def test_plain_pictures_differ_in_luminance_alone() -> None:
    """Then the second factor is one."""
    x, y = torch.full((1, 3, 12, 12), 0.25), torch.full((1, 3, 12, 12), 0.75)
    wanted = (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)
    torch.testing.assert_close(
        structural_similarity(x, y), torch.tensor([wanted], dtype=torch.float64), rtol=1e-9, atol=0
    )
    assert structural_similarity(x, x) == 1


def test_images_do_not_touch_each_other() -> None:
    x, y = pictures(3, 3, 16, 16)
    alone = torch.cat([structural_similarity(x[i : i + 1], y[i : i + 1]) for i in range(3)])
    assert torch.equal(structural_similarity(x, y), alone)
