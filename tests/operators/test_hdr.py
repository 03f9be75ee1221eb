"""High dynamic range: what is kept, what is cut, and the exact posterior of finitely many images."""

import pytest
import torch
from atom_shares import assert_recovered

from dis_lightning.operators import HDR


def test_contrast_is_scaled_and_cut_at_the_ends_of_the_range() -> None:
    x = torch.tensor([-1.0, -0.5, -0.25, 0.0, 0.3, 0.5, 0.9]).reshape(1, 1, 1, -1)
    torch.testing.assert_close(HDR()(x).flatten(), torch.tensor([-1.0, -1.0, -0.5, 0.0, 0.6, 1.0, 1.0]))
    torch.testing.assert_close(HDR(3.0)(x).flatten(), torch.tensor([-1.0, -1.0, -0.75, 0.0, 0.9, 1.0, 1.0]))


def test_what_is_cut_off_has_no_slope() -> None:
    x = torch.tensor([-0.8, -0.2, 0.4, 0.7]).reshape(1, 1, 2, 2)
    slope = torch.func.grad(lambda x: HDR()(x).sum())(x)
    assert slope.flatten().tolist() == [0, 2, 2, 0]


def test_the_exact_conditional_denoiser_finds_the_exact_posterior_of_finitely_many_images() -> None:
    atoms = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert_recovered(HDR(noise_std=3.5), atoms)


@pytest.mark.parametrize("scale", [0.0, -2.0, float("nan"), float("inf")])
def test_a_scale_out_of_range_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match=f"HDR needs a finite scale > 0, but got {scale}"):
        HDR(scale)
