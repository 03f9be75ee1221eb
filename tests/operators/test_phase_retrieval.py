"""Phase retrieval: NumPy's transform, what it cannot tell apart, and the exact posterior of finitely many images."""

import numpy as np
import pytest
import torch
from atom_shares import assert_recovered

from dis_lightning.noise import NoiseSource
from dis_lightning.operators import PhaseRetrieval


def images(count: int = 2, height: int = 16, width: int = 24) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 3, height, width, generator=generator, dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize(
    ("oversample", "input_range", "margins"),
    [(1.0, (-1.0, 1.0), (2, 3)), (2.0, (-1.0, 1.0), (4, 6)), (2.0, (0.0, 1.0), (4, 6)), (0.0, (-1.0, 1.0), (0, 0))],
)
def test_it_is_the_centred_unitary_transform_of_numpy(
    oversample: float, input_range: tuple[float, float], margins: tuple[int, int]
) -> None:
    x = images()
    u = np.interp(x.numpy(), (-1, 1), input_range)
    padded = np.pad(u, [(0, 0), (0, 0), *((margin, margin) for margin in margins)])
    axes = (-2, -1)
    spectrum = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(padded, axes), norm="ortho"), axes)
    y = PhaseRetrieval(oversample, input_range=input_range)(x)
    np.testing.assert_allclose(y, np.abs(spectrum), rtol=0, atol=1e-12)


def test_the_papers_size_has_a_margin_of_32_pixels() -> None:
    assert PhaseRetrieval()(torch.zeros(1, 3, 256, 256)).shape == (1, 3, 320, 320)


def test_magnitudes_hold_the_energy_of_the_image() -> None:
    """Parseval: the transform is unitary."""
    energies = PhaseRetrieval(2.0)(images()).square().sum(dim=(1, 2, 3))
    torch.testing.assert_close(energies, images().square().sum(dim=(1, 2, 3)))


def test_the_middle_is_frequency_zero() -> None:
    y = PhaseRetrieval(0.0)(torch.full((1, 3, 8, 8), 0.5, dtype=torch.float64))
    expected = torch.zeros_like(y)
    expected[..., 4, 4] = 0.5 * 8
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)


def test_it_does_not_tell_an_image_from_its_turned_shifted_or_negative_self() -> None:
    operator = PhaseRetrieval(2.0)
    x = torch.zeros(1, 3, 16, 16, dtype=torch.float64)
    x[..., 3:9, 4:12] = images(1, 6, 8)
    for same in (x.flip(-2, -1), x.roll((5, -2), dims=(-2, -1)), -x):
        torch.testing.assert_close(operator(same), operator(x), rtol=0, atol=1e-12)
    assert operator.distance(x.flip(-1), operator(x)) > 0.1


def test_where_black_is_zero_the_negative_is_another_image() -> None:
    operator = PhaseRetrieval(2.0, input_range=(0.0, 1.0))
    assert operator.distance(-images(1), operator(images(1))) > 0.1


def test_the_picture_shows_logarithms_from_black_to_white() -> None:
    operator = PhaseRetrieval(noise_std=0.05)
    picture = operator.picture(operator.measure(images(), NoiseSource(0, [0, 1])))
    assert picture.amin(dim=(1, 2, 3)).tolist() == [-1, -1]
    assert picture.amax(dim=(1, 2, 3)).tolist() == [1, 1]
    magnitudes = torch.tensor([[[[0.0, 1.0], [3.0, -0.1]]]])
    torch.testing.assert_close(operator.picture(magnitudes), torch.tensor([[[[-1.0, 0.0], [1.0, -1.0]]]]))


# In the convention of [0, 1], contrasts are halved; so is the noise that leaves as much unknown.
@pytest.mark.parametrize(
    "operator",
    [PhaseRetrieval(1.0, noise_std=1.5), PhaseRetrieval(2.0, noise_std=0.75, input_range=(0.0, 1.0))],
    ids=repr,
)
def test_the_exact_conditional_denoiser_finds_the_exact_posterior_of_finitely_many_images(
    operator: PhaseRetrieval,
) -> None:
    assert_recovered(operator, images(16, 8, 8).float()[:, :1])


@pytest.mark.parametrize("arguments", [{"oversample": -1.0}, {"oversample": float("inf")}, {"input_range": (1.0, 0.0)}])
def test_arguments_out_of_range_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"PhaseRetrieval needs an oversample in 0 \.\. 1000 and an input_range"):
        PhaseRetrieval(**arguments)
