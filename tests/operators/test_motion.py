"""Motion blur against SciPy and DeepInverse, and the law of its paths."""

import math

import deepinv.physics
import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch

from dis_lightning.operators import MotionBlur
from dis_lightning.operators.motion import _exposed, _path


def images(height: int = 24, width: int = 40) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize(("kernel_size", "intensity", "seed"), [(9, 0.5, 0), (15, 1.0, 3), (1, 0.0, 1)])
def test_it_is_the_circular_convolution_of_scipy(kernel_size: int, intensity: float, seed: int) -> None:
    operator, x = MotionBlur(kernel_size, intensity, seed=seed), images()
    expected = scipy.ndimage.convolve(x.numpy(), operator.kernel().numpy()[None, None], mode="wrap")
    np.testing.assert_allclose(operator(x), expected, rtol=0, atol=1e-12)


def test_a_kernel_larger_than_the_image_wraps_around_it() -> None:
    operator, x = MotionBlur(31, 0.5, seed=1), images(8, 12)
    repeated = scipy.ndimage.convolve(x.repeat(1, 1, 5, 5).numpy(), operator.kernel().numpy()[None, None], mode="wrap")
    np.testing.assert_allclose(operator(x), repeated[..., 16:24, 24:36], rtol=0, atol=1e-12)


def test_it_is_the_fourier_blur_of_deepinverse() -> None:
    operator, x = MotionBlur(9, 0.5, seed=4, tolerance=1e-4), images()
    twin = deepinv.physics.BlurFFT((3, 24, 40), filter=operator.kernel()[None, None])
    y = operator(x)
    torch.testing.assert_close(twin.A(x), y, rtol=0, atol=1e-12)
    torch.testing.assert_close(twin.A_adjoint(y), operator.adjoint(y), rtol=0, atol=1e-12)
    torch.testing.assert_close(twin.prox_l2(x, y, gamma=3.0), operator.proximal(x, y, step=3.0), rtol=0, atol=1e-9)


@pytest.mark.parametrize("intensity", [0.0, 0.5, 1.0])
def test_a_kernel_is_a_distribution_centred_at_its_middle_pixel(intensity: float) -> None:
    for seed in range(20):
        kernel = MotionBlur(31, intensity, seed=seed).kernel()
        assert kernel.min() >= 0
        assert kernel.sum().item() == pytest.approx(1, abs=1e-12)
        assert kernel.shape == (31, 31)
    path = _path(np.random.default_rng(0), 31, intensity)
    assert abs(path.mean()) < 1e-12


def test_the_path_follows_from_the_seed_alone() -> None:
    assert torch.equal(MotionBlur(seed=7).kernel(), MotionBlur(noise_std=0.3, seed=7).kernel())
    assert not torch.equal(MotionBlur(seed=7).kernel(), MotionBlur(seed=8).kernel())


@pytest.mark.parametrize("intensity", [0.0, 0.6])
def test_the_length_of_a_path_has_the_stated_law(intensity: float) -> None:
    """Up to its last step, which may reach beyond."""
    size, count = 61, 400
    paths = [_path(np.random.default_rng(seed), size, intensity) for seed in range(count)]
    steps = [np.abs(np.diff(path)) for path in paths]
    drawn = (
        0.75
        * math.hypot(size, size)
        * np.add(*np.random.default_rng(0).uniform(size=(2, 10**5), high=[[1], [intensity**2]]))
    )
    most, least = [step.sum() for step in steps], [step[:-1].sum() for step in steps]
    assert scipy.stats.ks_2samp(least, drawn, alternative="less").pvalue > 1e-4
    assert scipy.stats.ks_2samp(most, drawn, alternative="greater").pvalue > 1e-4


def test_the_length_of_the_steps_has_the_stated_law() -> None:
    # The last step of a path is a longer one than others, as the one that meets a fixed end is.
    size, intensity = 61, 0.5
    paths = [_path(np.random.default_rng(seed), size, intensity) for seed in range(200)]
    steps = np.concatenate([np.abs(np.diff(path))[:-1] for path in paths if len(path) > 15])
    scale = (1.1 - intensity) * math.hypot(size, size)
    assert steps.mean() / scale == pytest.approx(1 / 31, abs=0.1 / 31)
    assert scipy.stats.kstest(steps / scale, scipy.stats.beta(1, 30).cdf).statistic < 0.05


def test_without_intensity_a_path_is_almost_straight_and_with_it_it_turns() -> None:
    def turn(intensity: float) -> float:
        steps = [np.diff(_path(np.random.default_rng(seed), 61, intensity)) for seed in range(50)]
        return float(np.mean([np.abs(np.angle(step[1:] / step[:-1])).mean() for step in steps if len(step) > 2]))

    assert turn(0.0) < 0.05
    assert turn(0.0) < turn(0.3) < turn(1.0)


def test_a_straight_walk_spends_its_time_evenly_on_the_pixels_of_its_line() -> None:
    kernel = _exposed(np.array([-3, 3]), 9)
    # Bilinear hats share each moment; the pixels at both ends have half of theirs beyond.
    expected = np.array([0, 0.5, 1, 1, 1, 1, 1, 0.5, 0]) / 6
    np.testing.assert_allclose(kernel[4], expected, atol=1e-4)
    assert np.delete(kernel, 4, axis=0).max() == 0


def test_a_walk_spends_the_same_time_however_it_is_cut_into_steps() -> None:
    corners = np.array([-3 - 1j, 0, 2 + 2j])
    finer = np.array([-3 - 1j, -1.5 - 0.5j, -0.3 - 0.1j, 0, 2 + 2j])
    np.testing.assert_allclose(_exposed(corners, 9), _exposed(finer, 9), atol=1e-12)


def test_what_leaves_the_kernel_is_cut_off() -> None:
    kernel = _exposed(np.array([0, 100]), 5)
    np.testing.assert_allclose(kernel[2], np.array([0, 0, 0.5, 1, 1]) / 2.5, atol=0.02)


def test_the_pseudo_inverse_restores_the_frequencies_that_the_kernel_passes() -> None:
    operator = MotionBlur(15, 0.5, seed=2)
    kept = operator.pseudo_inverse(operator(images()))
    torch.testing.assert_close(operator.pseudo_inverse(operator(kept)), kept, rtol=0, atol=1e-10)
    gain = operator.pseudo_inverse(torch.randn(1, 3, 24, 40, dtype=torch.float64)).std()
    assert gain < 1 / operator.tolerance


@pytest.mark.parametrize(
    "arguments", [{"kernel_size": 60}, {"intensity": 1.5}, {"intensity": -0.1}, {"tolerance": 0.0}, {"seed": -1}]
)
def test_arguments_out_of_range_are_refused_with_their_values(arguments: dict[str, float]) -> None:
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match=f"MotionBlur needs .* but got .*{name}={value}"):
        MotionBlur(**arguments)
