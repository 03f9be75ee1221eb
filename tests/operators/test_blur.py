"""Gaussian blur against SciPy and DeepInverse, and the published facts of its kernel."""

import deepinv.physics
import numpy as np
import pytest
import scipy.ndimage
import torch

from dis_lightning.operators import GaussianBlur


def images(height: int, width: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=dtype) * 2 - 1


@pytest.mark.parametrize(("height", "width"), [(13, 40), (64, 32)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_it_is_the_filter_of_scipy_with_mirrored_borders(
    height: int, width: int, dtype: torch.dtype, tolerance: float
) -> None:
    x = images(height, width, dtype)
    expected = scipy.ndimage.gaussian_filter(x.double().numpy(), (0, 0, 3, 3), mode="mirror", truncate=4.0)
    np.testing.assert_allclose(GaussianBlur()(x), expected, rtol=0, atol=tolerance)


def test_another_width_is_the_filter_of_scipy_too() -> None:
    x = images(16, 16)
    expected = scipy.ndimage.gaussian_filter(x.numpy(), (0, 0, 1.3, 1.3), mode="mirror", truncate=4.0)
    np.testing.assert_allclose(GaussianBlur(std=1.3)(x), expected, rtol=0, atol=1e-12)


def test_a_small_kernel_cuts_the_gaussian_at_its_size() -> None:
    x = images(16, 16)
    expected = scipy.ndimage.gaussian_filter(x.numpy(), (0, 0, 3, 3), mode="mirror", radius=2)
    np.testing.assert_allclose(GaussianBlur(kernel_size=5)(x), expected, rtol=0, atol=1e-12)


def test_it_is_the_blur_of_deepinverse_that_reflects_with_a_kernel_of_4_standard_deviations() -> None:
    """Theirs fills the size it is given; ours, of 61 pixels, is cut at 12. Theirs is undone by iterating."""
    operator, x = GaussianBlur(), images(14, 20)
    kernel = deepinv.physics.functional.gaussian_blur((25, 25), 3.0, dtype=torch.float64)
    twin = deepinv.physics.Blur(kernel, padding="reflect", max_iter=100, tol=1e-6)
    y = operator(x)
    torch.testing.assert_close(y, twin.A(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(operator.adjoint(y), twin.A_adjoint(y), rtol=0, atol=1e-12)
    expected = twin.prox_l2(x, y + x, gamma=3.0)
    torch.testing.assert_close(operator.proximal(x, y + x, step=3.0), expected, rtol=0, atol=1e-5)


def test_a_point_spreads_over_25_pixels_with_the_known_centre() -> None:
    point = torch.zeros(1, 1, 61, 61, dtype=torch.float64)
    point[..., 30, 30] = 1
    kernel = GaussianBlur()(point)[0, 0]
    rows, columns = kernel.nonzero().T
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (18, 42, 18, 42)
    assert kernel[30, 30].item() == pytest.approx(0.0176849, abs=5e-8)
    assert kernel.sum().item() == pytest.approx(1, abs=1e-14)
    torch.testing.assert_close(kernel, kernel.flip(0, 1).T, rtol=0, atol=1e-18)


def test_a_flat_image_stays_flat_up_to_its_borders() -> None:
    flat = torch.full((1, 3, 32, 32), 0.7, dtype=torch.float64)
    torch.testing.assert_close(GaussianBlur()(flat), flat, rtol=0, atol=1e-14)


def test_the_pseudo_inverse_restores_what_blur_keeps() -> None:
    """What lies in the span of the kept singular vectors comes back; here, an image that was restored once."""
    operator = GaussianBlur(noise_std=0.1)
    kept = operator.pseudo_inverse(operator(images(32, 32)))
    torch.testing.assert_close(operator.pseudo_inverse(operator(kept)), kept, rtol=0, atol=1e-10)


def test_the_pseudo_inverse_amplifies_noise_by_no_more_than_its_tolerance_allows() -> None:
    operator = GaussianBlur(tolerance=0.05)
    gain = operator.pseudo_inverse(torch.eye(20 * 20, dtype=torch.float64).reshape(-1, 1, 20, 20)).flatten(1)
    assert torch.linalg.matrix_norm(gain, 2) <= 1.001 / 0.05**2
    assert torch.linalg.matrix_norm(gain, 2) > 1


@pytest.mark.parametrize("arguments", [{"kernel_size": 60}, {"kernel_size": -1}, {"std": 0.0}, {"tolerance": 1.0}])
def test_arguments_out_of_range_are_refused_with_their_values(arguments: dict[str, float]) -> None:
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match=f"GaussianBlur needs .* but got .*{name}={value}"):
        GaussianBlur(**arguments)


def test_an_image_no_larger_than_the_reach_of_the_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="reaches 12 pixels and needs a larger image than 12 pixels"):
        GaussianBlur()(images(12, 40))
